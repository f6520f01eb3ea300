"""The evaluation of a run or of an adapter: one table, a row for base, base with examples and each adapter.

All rows get the same held-out prompts and the same seeds. Where retrieval alone does as well as the adapter, the table
says so. Writes evaluation.json and evaluation.csv into the run that is judged, and check.json into its own.
"""

from __future__ import annotations

import csv
import io
import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from t2v_studio.adapters.runs import TrainingRun, find_run, now_text, read_json, write_json
from t2v_studio.datasets.text_pairs.rows import TextPair
from t2v_studio.errors import InputError, StudioError
from training.text import manim_ladder, prompt_ladder
from training.text.answers import Answer, Who, answered, asked, chat_of, nearest_of
from training.text.ladder import Column
from training.text.rows import TextSet, read_text_set
from training.text.session import TextSession

MOST_CHECKPOINTS = 6
MOST_SAMPLES = 4
OF_BOTH = (Column("n", "prompts", "Held-out prompts that were asked.", share=False, better=""),)
SECONDS = Column("seconds", "s an answer", "Seconds an answer took, judged included.", share=False, better="down")


def evaluate_run(session: TextSession) -> dict[str, Any]:
    """The evaluation that run.json asks for; its result also stands in check.json."""
    asked_for = session.run.info["evaluate"]
    task = asked_for["task"] if asked_for["task"] != "auto" else session.recipe.task
    data = read_text_set(Path(session.run.info["dataset"]), session.recipe)
    pairs = _sample(data, int(asked_for["rows"]), session.recipe.seed)
    judges = _Judges(session, task, data, asked_for)
    nearest = nearest_of(data.train)
    rows, samples = [], []
    everyone = who_is_asked(session, baselines=bool(asked_for["baselines"]))
    opened = chat_of(session.base.folder, session.recipe.num_predict)
    for number, who in enumerate(everyone):
        session.check_stopped()
        began = time.monotonic()

        def tell(done: int, who: Who = who, number: int = number) -> None:
            session.check_stopped()
            session.report("asking", number * len(pairs) + done, len(everyone) * len(pairs), who.name)

        tries = int(asked_for["tries"]) if task == "manim" else 1
        answers = answered(who, pairs, opened, tries=tries, nearest=nearest, tell=tell)
        session.report("judging", number + 1, len(everyone), who.name)
        figures, reasons = judges.judge(who, answers, opened)
        spent = (time.monotonic() - began) / max(1, len(pairs))
        rows.append({"who": who.name, "step": who.step, "n": len(pairs), **figures, "seconds": round(spent, 2)})
        samples += _samples(who, answers, reasons)
    result = {
        "ok": True,
        "task": task,
        "made_at": now_text(),
        "columns": [column.as_dict() for column in (*OF_BOTH, *judges.columns, SECONDS)],
        "rows": rows,
        "notes": [*judges.notes, *verdict(rows, judges.columns)],
        "samples": samples,
    }
    return _written(session, result)


class _Judges:
    """The ladder of a task, with what it needs on this machine."""

    def __init__(self, session: TextSession, task: str, data: TextSet, asked_for: dict[str, Any]) -> None:
        self.task, self.known = task, [pair.answer for pair in data.train]
        self.repairs = int(asked_for["repairs"])
        self.notes: list[str] = []
        if task == "manim":
            self.tools = manim_ladder.tools(render=bool(asked_for["render"]), settings=session.settings)
            self.notes = [*self.tools.notes, f"@k: the best of {asked_for['tries']} answers, the first one greedy."]
            self.columns: tuple[Column, ...] = manim_ladder.COLUMNS
        else:
            self.columns = prompt_ladder.COLUMNS

    def judge(
        self, who: Who, answers: Sequence[Answer], opened: Callable[..., Any]
    ) -> tuple[dict[str, Any], list[str]]:
        if self.task != "manim":
            return prompt_ladder.judge(answers, self.known, form=self.task == "prompts")
        if not self.repairs:
            return manim_ladder.judge(answers, self.tools, None, 0)
        with opened(who.adapter) as ask:
            return manim_ladder.judge(answers, self.tools, lambda one, why: ask(_repair(one, why)), self.repairs)


def _repair(answer: Answer, why: str) -> list[dict[str, str]]:
    wish = f"It does not run: {why}\nWrite the whole corrected code, and nothing else."
    return [
        *asked(answer.pair),
        {"role": "assistant", "content": answer.texts[0]},
        {"role": "user", "content": wish},
    ]


def who_is_asked(session: TextSession, *, baselines: bool) -> list[Who]:
    """Base, base with examples, then the adapter that is judged, or those of the run's checks."""
    found = [Who("base"), Who("base + examples", examples=True)] if baselines else []
    info = session.run.info
    if info.get("of"):
        part = find_run(session.workspace, info["of"]).part()
        steps = sorted(int(path.name.rpartition("_")[2]) for path in part.adapters.glob("step_*"))
        chosen = part.result.get("step")
        if not steps:
            raise InputError("no_adapters", f"{info['of']} has no adapter yet.", "Each check of a training writes one.")
        found += [
            Who(f"LoRA step {step}{' (chosen)' if step == chosen else ''}", part.adapters / f"step_{step:08d}", step)
            for step in spread(steps, MOST_CHECKPOINTS, keep=chosen)
        ]
    else:
        folder = session.workspace.adapter(info["adapter"])
        found.append(Who(f"LoRA {info.get('adapter_name') or info['adapter']}", folder))
    return found


def spread(steps: Sequence[int], most: int, *, keep: int | None = None) -> list[int]:
    """At most so many steps, evenly spread; the last and `keep` always among them."""
    if len(steps) <= most:
        return list(steps)
    wanted = {steps[-1], *(step for step in steps if step == keep)}
    free = [step for step in steps if step not in wanted]
    count = most - len(wanted)
    wanted |= {free[math.floor(place * len(free) / count)] for place in range(count)}
    return sorted(wanted)


def _sample(data: TextSet, count: int, seed: int) -> list[TextPair]:
    if not data.held_out:
        raise StudioError(
            "nothing_to_measure",
            "There is no held-out row to ask for.",
            "Name a set with test rows, or a validation_share.",
        )
    return random.Random(seed).sample(data.held_out, min(count, len(data.held_out)))


def _samples(who: Who, answers: Sequence[Answer], reasons: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"who": who.name, "asked": one.pair.asked, "answer": one.texts[0] if one.texts else "", "fault": why}
        for one, why in list(zip(answers, reasons, strict=True))[:MOST_SAMPLES]
    ]


def verdict(rows: Sequence[dict[str, Any]], columns: Sequence[Column]) -> list[str]:
    """Where retrieval alone does as well as the best adapter, in the first steps that were measured."""
    shown = next((row for row in rows if row["who"] == "base + examples"), None)
    trained = [row for row in rows if row["who"].startswith("LoRA")]
    said = []
    for name in ("dry_run", "parse") if any(column.name == "dry_run" for column in columns) else ("format", "clean"):
        best = max((row[name] for row in trained if row.get(name) is not None), default=None)
        theirs = shown.get(name) if shown else None
        if best is None or theirs is None or theirs < best:
            continue
        label = next(column.label for column in columns if column.name == name)
        if theirs == 0:
            said.append(f"{label}: neither the adapter nor the base with retrieved examples gets there.")
        else:
            said.append(
                f"{label}: the base with retrieved examples ({theirs:g}) does as well as the adapter ({best:g})."
            )
    return said


def _written(session: TextSession, result: dict[str, Any]) -> dict[str, Any]:
    """evaluation.json and .csv beside what was judged."""
    own = session.run
    judged = TrainingRun(find_run(session.workspace, own.info["of"]).folder) if own.info.get("of") else None
    folder = judged.folder if judged else session.workspace.adapter(own.info["adapter"])
    result |= {"json": str(folder / "evaluation.json"), "csv": str(folder / "evaluation.csv")}
    write_json(folder / "evaluation.json", result)
    (folder / "evaluation.csv").write_text(as_csv(result), encoding="utf-8")
    write_json(own.folder / "check.json", result)
    return {"rows": result["rows"], "json": result["json"], "csv": result["csv"]}


def as_csv(result: dict[str, Any]) -> str:
    """The table alone; an empty cell is a figure that could not be measured."""
    text = io.StringIO()
    names = ["who", "step", *(column["name"] for column in result["columns"])]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(result["rows"])
    return text.getvalue()


def read_evaluation(folder: Path) -> dict[str, Any]:
    return read_json(folder / "evaluation.json")
