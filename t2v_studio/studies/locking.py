"""From draft to locked: checks, blinded copies, assignments, the frozen design and its text."""

from __future__ import annotations

import fcntl
import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from t2v_studio.database import reading, writing
from t2v_studio.errors import BusyError, ConflictError, InputError, plural
from t2v_studio.production.pairs import CONTROL, TREATED, read_pair
from t2v_studio.production.record import VideoRecord
from t2v_studio.studies.blinding import MEDIA, Copy, blind_pair, media_token
from t2v_studio.studies.checks import check_rows, video_file
from t2v_studio.studies.design import Placement, design_hash, plan_assignments
from t2v_studio.studies.quality import EXCLUSION_RULES
from t2v_studio.studies.rubric import rubric
from t2v_studio.studies.store import topic_rows
from t2v_studio.studies.store_states import DRAFT, audit, require, step, study_row
from t2v_studio.workspace import Workspace, new_id

ANALYSIS_VERSION = "1"
MOST_RATERS = 60
PREREGISTRATION = "preregistration.md"
PRIMARY_OUTCOME = (
    "For each of the five criteria: the mean over topics of the difference between the two videos' mean scores "
    "(with retrieval minus without), tested by Wilcoxon's signed-rank test (zeros by Pratt) at 5 %, "
    "Holm-corrected over the five; 95 % BCa interval over topics. Practice, repeated and identical pairs are left out."
)


def lock(workspace: Workspace, study_id: str, *, raters: int, overrides: dict[str, str] | None = None) -> None:
    """Freeze a draft. overrides: topic key -> why a check that may be overridden does not count there.

    Raises ConflictError study_state or study_blocked (details: checks), InputError, BusyError while another
    window locks the same study. Either everything is locked or nothing is.
    """
    if not 1 <= raters <= MOST_RATERS:
        raise InputError("bad_raters", f"raters: {raters} is outside 1 to {MOST_RATERS}.", "Say how many will score.")
    reasons = {key: " ".join(reason.split()) for key, reason in (overrides or {}).items()}
    with reading(workspace.database) as connection:
        row = study_row(connection, study_id)
        require(row, (DRAFT,), "be locked")
        topics = topic_rows(connection, study_id)
    checks = check_rows(workspace, row["title"], topics)
    _require_clear(checks, reasons)
    pairs = {topic["key"]: read_pair(workspace, topic["pair_id"]) for topic in topics}
    plan = plan_assignments([topic["key"] for topic in topics], raters, (CONTROL, TREATED), row["seed"])
    used = {key: reason for key, reason in sorted(reasons.items()) if _overridden(checks, key)}
    design = design_of(row, topics, pairs, plan, raters, used)
    digest = design_hash(design)
    folder = workspace.study(study_id) / MEDIA
    with _one_at_a_time(workspace.study(study_id)):
        _clear_left_overs(workspace, study_id, folder)
        copies: dict[str, tuple[Copy, Copy]] = {}
        try:
            for key, pair in pairs.items():
                files = [video_file(workspace, pair[arm]) for arm in (CONTROL, TREATED)]
                copies[key] = blind_pair(files[0], files[1], folder, pair[CONTROL].fps)
            with writing(workspace.database) as connection:
                fresh = study_row(connection, study_id)
                require(fresh, (DRAFT,), "be locked")
                if fresh["title"] != row["title"] or topic_rows(connection, study_id) != topics:
                    raise ConflictError("study_changed", "The draft was edited while it was locked.", "Lock it again.")
                clips = _write_clips(connection, workspace, study_id, pairs, copies)
                _write_assignments(connection, study_id, clips, plan, raters)
                connection.execute(
                    "UPDATE study SET raters = ?, design = ?, design_sha256 = ? WHERE id = ?",
                    (raters, json.dumps(design, sort_keys=True, ensure_ascii=False), digest, study_id),
                )
                step(connection, fresh, "lock", raters=raters, overrides=used, design_sha256=digest)
        except BaseException:
            for copy in (copy for both in copies.values() for copy in both):
                copy.path.unlink(missing_ok=True)
            raise
    text = preregistration(workspace, study_id)
    (workspace.study(study_id) / PREREGISTRATION).write_text(text, encoding="utf-8", newline="\n")
    back_up(workspace, study_id, "lock")


def design_of(
    row: sqlite3.Row,
    topics: Sequence[dict[str, Any]],
    pairs: dict[str, dict[str, Any]],
    plan: Sequence[Placement],
    raters: int,
    overrides: dict[str, str],
) -> dict[str, Any]:
    """Everything that is frozen, as data; its `design_hash` stands under every table.

    Ids, tokens and times are no part of it: the same videos, rubric, raters and seed give the same hash.
    """
    return {
        "topics": [
            {name: topic[name] for name in ("key", "title", "objective")}
            | {"clips": {arm: generation(pairs[topic["key"]][arm]) for arm in (CONTROL, TREATED)}}
            for topic in topics
        ],
        "arms": {"control": CONTROL, "treated": TREATED},
        "rubric": rubric(),
        "raters": raters,
        "seed": row["seed"],
        "assignments": [placement.model_dump() for placement in plan],
        "exclusion_rules": EXCLUSION_RULES,
        "primary_outcome": PRIMARY_OUTCOME,
        "analysis_version": ANALYSIS_VERSION,
        "overrides": overrides,
    }


def generation(record: VideoRecord) -> dict[str, Any]:
    """How a clip was made: hash of the file, settings, prompts, engines and seeds."""
    return {
        "sha256": record.video_sha256,
        "request": record.request.model_dump(mode="json", exclude={"plan"}),
        "prompts": {scene.id: scene.prompt for scene in record.plan.scenes},
        "steps": {scene.id: [step.say for step in scene.steps] for scene in record.plan.scenes},
        "scenes": [
            scene.model_dump(include={"id", "engine", "model", "revision", "seed", "frames"}) for scene in record.scenes
        ],
        "adapter": record.adapter,
        "size": [record.width, record.height],
        "fps": record.fps,
        "frames": record.frames,
        "verdict": record.verdict,
    }


def preregistration(workspace: Workspace, study_id: str) -> str:
    """The frozen design in plain Markdown. Raises ConflictError study_state for a draft."""
    with reading(workspace.database) as connection:
        row = study_row(connection, study_id)
    if row["state"] == DRAFT:
        require(row, (), "be preregistered yet")
    design = json.loads(row["design"])
    per_rater = sum(placement["rater"] == 0 for placement in design["assignments"])
    kinds = [placement["kind"] for placement in design["assignments"] if placement["rater"] == 0]
    lines = [
        f"# Preregistration: {row['title']}",
        "",
        f"Locked {row['locked_at']} (UTC). Design hash (SHA-256): `{row['design_sha256']}`.",
        "",
        "## Question",
        "Do videos that were planned with retrieval from a textbook score differently from videos that were "
        "planned without, everything else being equal?",
        "",
        "## Design",
        f"{len(design['topics'])} topics, two videos each; {plural(design['raters'], 'examiner')}, blind to the arm. "
        f"Each examiner sees {per_rater} screens: {kinds.count('main')} scored pairs, {kinds.count('practice')} practice "
        f"pairs, {kinds.count('repeat')} repeated pairs with swapped sides and {kinds.count('identical')} pair of one "
        f"video with itself. Orders are rows of a balanced Latin square, sides are counterbalanced (seed {design['seed']}).",
        "",
        "## Topics",
        *(f"{number}. {topic['title']}" for number, topic in enumerate(design["topics"], start=1)),
        "",
        f"## Rubric (version {design['rubric']['version']}, scale 1 to 5)",
        *(f"- {criterion['label']}" for criterion in design["rubric"]["criteria"]),
        "",
        "## Primary outcome",
        design["primary_outcome"],
        "",
        "## Exclusions, fixed now; results are reported with and without",
        *(f"- {rule['text']}" for rule in design["exclusion_rules"]),
        "",
        f"Analysis version {design['analysis_version']}.",
    ]
    if design["overrides"]:
        lines += ["", "## Checks set aside", *(f"- {key}: {why}" for key, why in design["overrides"].items())]
    return "\n".join(lines) + "\n"


def back_up(workspace: Workspace, study_id: str, when: str) -> Path:
    """A whole copy of the database (VACUUM INTO) beside it; the newest of each step is kept."""
    workspace.backups.mkdir(parents=True, exist_ok=True)
    target = workspace.backups / f"{workspace.study(study_id).name}-{when}.db"
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with reading(workspace.database) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _overridden(checks: Sequence[dict[str, Any]], key: str) -> bool:
    return any(row["topic"] == key and row["level"] == "block" and row["can_override"] for row in checks)


def _require_clear(checks: Sequence[dict[str, Any]], reasons: dict[str, str]) -> None:
    standing = [
        row
        for row in checks
        if row["level"] == "block" and not (row["can_override"] and len(reasons.get(row["topic"], "")) >= 3)
    ]
    if not standing:
        return
    told = "; ".join(f"{row['topic']}: {row['message']}" if row["topic"] else row["message"] for row in standing[:3])
    hint = "Take the topic out, or make the pair again."
    if all(row["can_override"] for row in standing):
        hint += " Or give a reason why it may stay."
    raise ConflictError("study_blocked", f"The study cannot be locked: {told}", hint, checks=standing)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the study's folder; the system frees the lock when this process dies."""
    (folder / MEDIA).mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BusyError("study_busy", "Another window is locking this study.", "Wait a moment.") from error
        yield


def _clear_left_overs(workspace: Workspace, study_id: str, folder: Path) -> None:
    """Copies that a killed lock left behind. The state is read again, under the lock."""
    with reading(workspace.database) as connection:
        require(study_row(connection, study_id), (DRAFT,), "be locked")
    for path in folder.iterdir():
        path.unlink()


def _write_clips(
    connection: sqlite3.Connection,
    workspace: Workspace,
    study_id: str,
    pairs: dict[str, dict[str, Any]],
    copies: dict[str, tuple[Copy, Copy]],
) -> dict[tuple[str, str], str]:
    """(topic, arm) -> clip id."""
    clips = {}
    for key, both in copies.items():
        for arm, copy in zip((CONTROL, TREATED), both, strict=True):
            record = pairs[key][arm]
            clips[key, arm] = new_id("clip")
            connection.execute(
                "INSERT INTO clip (id, study_id, topic_key, variant, video_id, sha256, blind_token, blind_sha256, path, "
                "fps, frames, duration_s, width, height, generation, verdict) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(clips[key, arm], study_id, key, arm, record.id, record.video_sha256, copy.token, copy.sha256),
                    *(workspace.relative(copy.path), copy.fps, copy.frames, copy.duration_s, copy.width, copy.height),
                    json.dumps(generation(record), sort_keys=True, ensure_ascii=False),
                    record.verdict,
                ),
            )
    return clips


def _write_assignments(
    connection: sqlite3.Connection,
    study_id: str,
    clips: dict[tuple[str, str], str],
    plan: Sequence[Placement],
    raters: int,
) -> None:
    """Places for all raters, and their screens. Each side of each screen has a media token of its own."""
    ids = [new_id("rater") for _ in range(raters)]
    for number, rater_id in enumerate(ids, start=1):
        connection.execute(
            "INSERT INTO rater (id, study_id, number, pseudonym) VALUES (?, ?, ?, ?)",
            (rater_id, study_id, number, f"Examiner {number}"),
        )
    for place in plan:
        connection.execute(
            "INSERT INTO assignment (id, study_id, rater_id, topic_key, position, kind, left_clip, right_clip, "
            "left_token, right_token) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(new_id("screen"), study_id, ids[place.rater], place.topic, place.position, place.kind),
                *(clips[place.topic, place.left], clips[place.topic, place.right], media_token(), media_token()),
            ),
        )
    audit(connection, study_id, "assign", screens=len(plan), raters=raters)
