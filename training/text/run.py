"""Train the LoRA of a language model: `python -m training.text.run FOLDER [--stage all|evaluate|export]`.

Exit codes: 0 done, 3 stopped with a checkpoint to go on from, else failed. All that a reader needs stands in
the run's folder, so the same command goes on where it stood, after a kill as well.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from t2v_studio.adapters.runs import CARD_FIELDS, TrainingRun, now_text, publish_text, write_json
from t2v_studio.errors import CancelledError, StudioError
from t2v_studio.settings import load_settings
from t2v_studio.workspace import Workspace
from training.text.session import TextSession, open_text_session
from training.video.session import append_line, locked, unexpected

STOPPED = 3
STAGES = ("all", "evaluate", "export")
log = logging.getLogger("training")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="Folder of the run.")
    parser.add_argument("--stage", choices=STAGES, default="all")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run = TrainingRun(asked.run.resolve())
    try:
        settings = load_settings()
        session = open_text_session(run, settings, Workspace.at(settings.home))
        session.stop.listen()
        with locked(run):
            work(session, asked.stage)
    except CancelledError as error:
        _tell(run, "stopped", error)
        return STOPPED
    except StudioError as error:
        _tell(run, "failed", error)
        log.error("%s: %s %s", error.code, error.message, error.hint)
        return error.exit_code or 1
    except Exception as error:
        log.exception("the training failed")
        _tell(run, "failed", unexpected(error, "Free some space, then start it again."))
        return 1
    return 0


def work(session: TextSession, stage: str = "all") -> list[dict[str, Any]]:
    """One stage of a run; returns the results that stand in the last line of its progress."""
    if stage == "evaluate":
        from training.text.evaluate import evaluate_run

        found = evaluate_run(session)
    elif stage == "export":
        from training.text.export import export_run

        found = export_run(session)
    else:
        found = train_run(session)
    session.report("done", 1, 1, "", results=[found])
    return [found]


def train_run(session: TextSession) -> dict[str, Any]:
    """Read, train, choose the best adapter, put it into the catalogue."""
    from training.text.rows import read_text_set
    from training.text.sft import best, train

    session.report("reading the data set")
    data = read_text_set(Path(session.run.info["dataset"]), session.recipe)
    part = session.run.part()
    part.folder.mkdir(parents=True, exist_ok=True)
    write_json(part.folder / CARD_FIELDS, _card_fields(session, data))
    trained = train(session, data)
    step, check = best(part)
    metrics = {name: check.get(name) for name in ("val_loss", "val_accuracy")}
    session.report("putting it into the catalogue")
    card = publish_text(session.workspace, part, step, metrics=metrics)
    result = {
        "part": part.name,
        "adapter": card.id,
        "step": step,
        "steps": trained["steps"],
        "metrics": metrics,
        "base": trained["base"] or {"val_loss": None},
        "notice": " ".join(trained["notices"]),
        "pushed": _pushed(session, card.id),
    }
    write_json(part.folder / "result.json", result)
    return result


def _pushed(session: TextSession, adapter_id: str) -> str:
    """The address of the private repository that the recipe names; "" where it names none."""
    if not session.recipe.push_to:
        return ""
    from t2v_studio.adapters.text_push import plan_push, push

    session.report("pushing it to the hub")
    token = os.environ.get("HF_TOKEN", "")
    return push(plan_push(session.workspace, adapter_id, session.recipe.push_to), token)


def _card_fields(session: TextSession, data: Any) -> dict[str, Any]:
    recipe, base = session.recipe, session.base
    return {
        "family": base.family,
        "name": str(session.run.info.get("title") or recipe.name)[:120],
        "base_model": recipe.model,
        "base_revision": base.revision,
        "license": base.license,
        "data_hash": data.hash,
        "made_from": f"{session.run.id}/{session.run.part().name}",
        "rows": {"train": len(data.train), "held_out": len(data.held_out), "refused": len(data.refused)},
        "licenses": data.licenses,
        "sources": data.sources,
    }


def _tell(run: TrainingRun, stage: str, error: StudioError) -> None:
    line = {"time": now_text(), "stage": stage, "step": 0, "total": 0, "message": error.message}
    append_line(run.progress, {**line, "error": error.as_dict() | {"type": type(error).__name__}})


if __name__ == "__main__":
    sys.exit(main())
