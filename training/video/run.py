"""Train the LoRA of a run: `python -m training.video.run FOLDER`, or through `accelerate launch -m`.

    --stage latents | text | train     one stage alone; all three by default
    --stage check                      compare a finished adapter with its base (run.json names it)
    --export-npz                       write the cached latents as .npz, too

Exit codes: 0 done, 3 stopped with a checkpoint to go on from, else failed. All that a reader needs stands in
the run's folder, so the same command goes on where it stood, after a kill as well.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from t2v_studio.adapters.runs import TrainingRun, write_json
from t2v_studio.datasets.rows import ManifestRow
from t2v_studio.errors import CancelledError, StudioError
from t2v_studio.settings import load_settings
from t2v_studio.workspace import Workspace
from training.video.buckets import Selection, counts, select
from training.video.checkpoints import HINT
from training.video.rows import Source, read_sources
from training.video.session import Session, locked, open_session, unexpected

STOPPED = 3
STAGES = ("all", "latents", "text", "train", "check")
log = logging.getLogger("training")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="Folder of the run.")
    parser.add_argument("--stage", choices=STAGES, default="all")
    parser.add_argument("--export-npz", action="store_true", help="Write the cached latents as .npz, too.")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run = TrainingRun(asked.run.resolve())
    session: Session | None = None
    try:
        settings = load_settings()
        session = open_session(run, settings, Workspace.at(settings.home))
        session.stop.listen()
        if not session.main:
            work(session, asked.stage, asked.export_npz)
        else:
            with locked(run):
                work(session, asked.stage, asked.export_npz)
    except CancelledError as error:
        _tell(session, run, "stopped", error)
        return STOPPED
    except StudioError as error:
        _tell(session, run, "failed", error)
        log.error("%s: %s %s", error.code, error.message, error.hint)
        return error.exit_code or 1
    except Exception as error:
        log.exception("the training failed")
        _tell(session, run, "failed", _unexpected(error))
        return 1
    finally:
        _leave_group()
    return 0


def work(session: Session, stage: str = "all", npz: bool = False) -> list[dict[str, Any]]:
    """The stages of one run; returns the result of each part (none unless it trains)."""
    if stage == "check":
        from training.video.check_adapter import check_adapter

        return [check_adapter(session)]
    selection = selected(session)
    if stage in ("all", "latents"):
        cache_clips(session, selection, npz)
    if stage in ("all", "text"):
        cache_words(session, selection)
    if stage not in ("all", "train"):
        session.report("done", message=f"{stage} cached")
        return []
    from training.video.parts import train_all

    results = train_all(session, selection)
    session.report("done", 1, 1, "", results=results)
    return results


def selected(session: Session) -> Selection:
    """The clips of the run. What was read first is kept, so that a changed manifest cannot change a run half-way."""
    session.report("reading the data set")
    kept = session.run.folder / "rows.json"
    if kept.is_file():
        data = json.loads(kept.read_text(encoding="utf-8"))
        sources = [Source(ManifestRow.model_validate(one["row"]), Path(one["file"])) for one in data]
    else:
        sources = read_sources(Path(session.run.info["dataset"]), session.recipe.seed)
    selection = select(sources, session.recipe, session.family)
    session.accelerator.wait_for_everyone()
    if session.main and not kept.is_file():
        write_json(kept, [{"row": one.row.model_dump(mode="json"), "file": str(one.file)} for one in sources])
    for notice in selection.notices:
        log.info("%s", notice)
    log.info("buckets: %s; dropped: %d", counts(selection.clips), len(selection.dropped))
    return selection


def cache_clips(session: Session, selection: Selection, npz: bool = False) -> None:
    from training.video.cache_latents import cache_latents, export_npz

    made = cache_latents(session, selection.clips)
    session.report("cached clips", message=f"{made['made']} made, {made['kept']} were there", cached=made)
    if npz and session.main:
        paths = export_npz(session, selection.clips)
        session.report("exported latents", message=f"{len(paths)} files")


def cache_words(session: Session, selection: Selection) -> None:
    from training.video import cache
    from training.video.cache_text import EMPTY, cache_text, captions
    from training.video.sampling import read_prompts, texts

    recipe = session.recipe
    prompts = [*captions(selection.clips, recipe.trigger), *texts(read_prompts(recipe), recipe.trigger)]
    made = cache_text(session, prompts)
    session.report("cached captions", message=f"{made['made']} made, {made['kept']} were there", cached=made)
    if session.main:
        files = session.cache
        used = [files.clip_file(clip) for clip in selection.clips] + [
            files.text_file(text) for text in [EMPTY, *prompts]
        ]
        count, size = cache.unused(files, used)
        if count:
            log.info(
                "%d cached files of this model (%.1f MB) are not used by this run: %s", count, size / 1e6, files.folder
            )


def _tell(session: Session | None, run: TrainingRun, stage: str, error: StudioError) -> None:
    """The last line of the progress; from the process that leads, or from one that could not even begin."""
    from t2v_studio.adapters.runs import now_text
    from training.video.session import append_line

    if session is None or session.main:
        line = {"time": now_text(), "stage": stage, "step": 0, "total": 0, "message": error.message}
        append_line(run.progress, {**line, "error": error.as_dict() | {"type": type(error).__name__}})


def _unexpected(error: Exception) -> StudioError:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return StudioError(
            "out_of_memory",
            "The training needed more memory than there is.",
            "Fewer frames or a smaller size, checkpointing 1, rank 8, adamw8bit or base_quantised int8 need less.",
        )
    return unexpected(error, HINT)


def _leave_group() -> None:
    """Leave the group of processes in order, where there is one."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
