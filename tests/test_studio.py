"""The facade on real rooms: a book in, a plan, a video and a pair out, inline and with worker processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from t2v_studio import errors
from t2v_studio.doctor import examine
from t2v_studio.doctor.disks import file_system_of
from t2v_studio.jobs.queue import Queue
from t2v_studio.jobs.roster import Roster
from t2v_studio.production.request import parse_request
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio
from t2v_studio.workspace import REPOSITORY

TINY = {"width": 320, "height": 180, "fps": 8, "scene_frames": 6, "seed": 7}
HEAVY = ("torch", "gradio", "chromadb", "transformers", "sentence_transformers", "skia", "cv2", "matplotlib", "numpy")

NOTES = """# Gradient descent

## The idea

Gradient descent lowers a differentiable loss by walking downhill in small steps. At each step the gradient of the loss
tells the direction of steepest ascent, so the parameters move a little in the opposite direction. The method needs only
first derivatives, and it works in a plane as well as in a space of a million parameters. Training of neural networks
rests on it. A ball that rolls into a valley is the usual picture, although no momentum is involved in the plain method.

## The learning rate

The learning rate scales each step along the negative gradient. A small learning rate makes the loss fall slowly and
needs many iterations before the minimum is near. A large learning rate overshoots the minimum, and beyond a bound that
depends on the curvature the iterates diverge. For a quadratic loss the bound is two divided by the largest eigenvalue of
the Hessian matrix. Practitioners lower the rate over time so that late steps settle into the valley floor.

## Convergence

On a convex loss with a Lipschitz gradient the excess loss shrinks in proportion to one over the number of steps. Strong
convexity makes the convergence linear, which means that each step removes a fixed share of the remaining error. On a
nonconvex loss the method finds a stationary point, where the gradient vanishes, and nothing promises that this point is
the global minimum. Saddle points slow the walk down because the gradient is small around them.

## Stochastic steps

Stochastic gradient descent replaces the full gradient by the gradient of a small batch of training examples. The batch
gradient is an unbiased estimate of the full gradient, so the steps point downhill on average. The noise of the estimate
keeps the iterates moving around the minimum unless the learning rate decays. Small batches make each step cheap, and the
noise sometimes carries the iterate out of a narrow valley.
"""


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings.model_copy(update={"worker_threads": 1}))


@pytest.fixture
def app(settings: Settings) -> Iterator[Studio]:
    """A running app with worker processes."""
    app = Studio(settings.model_copy(update={"worker_threads": 1}))
    app.start()
    yield app
    app.stop(workers=True)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes on descent.md"
    path.write_text(NOTES, encoding="utf-8")
    return path


def test_the_import_is_light() -> None:
    code = f"import t2v_studio.studio, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_new_studio_does_no_work_and_needs_no_book(studio: Studio) -> None:
    assert studio.books() == studio.videos() == studio.jobs() == []
    assert studio.health() == {"supervised": False, "workers": [], "paused": {}}
    assert {row["name"] for row in studio.templates()} >= {"gradient_descent", "general"}
    assert [row["ok"] for row in studio.engines() if row["name"] == "local"] == [True]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("book.exe", b"MZ", "bad_book_type"),
        ("book.pdf", None, "no_such_file"),
        ("book.txt", b"", "empty_file"),
        ("folder.md", "folder", "not_a_file"),
        ("large.txt", b"x" * 1_000_001, "book_too_large"),
    ],
)
def test_a_path_that_is_no_book_is_refused_before_it_is_queued(
    settings: Settings, tmp_path: Path, name: str, content: Any, code: str
) -> None:
    studio = Studio(settings.model_copy(update={"upload_max_mb": 1}))
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.StudioError) as caught:
        studio.submit_book(path)
    assert caught.value.code == code
    assert caught.value.message.startswith("book: ")
    assert caught.value.hint
    assert studio.jobs() == []


@pytest.mark.parametrize("words", [{"min_words": 2}, {"max_words": 5000}, {"min_words": 100, "max_words": 60}])
def test_word_limits_are_checked(studio: Studio, notes: Path, words: dict[str, int]) -> None:
    with pytest.raises(errors.InputError, match="words"):
        studio.submit_book(notes, **words)


def test_empty_searches_are_refused(studio: Studio) -> None:
    for queries in ([], ["  "], ["good", ""]):
        with pytest.raises(errors.InputError):
            studio.submit_search(queries)
    with pytest.raises(errors.InputError):
        studio.submit_search(["good"], k=0)


def test_what_is_not_there_is_not_found(studio: Studio) -> None:
    for call in (
        lambda: studio.book("0" * 16),
        lambda: studio.book("../../etc"),
        lambda: studio.passages("0" * 16),
        lambda: studio.submit_removal("0" * 16),
        lambda: studio.video("vid_00000000000"),
        lambda: studio.video_folder("../data"),
        lambda: studio.pair("pair_00000000000"),
        lambda: studio.job("job_00000000000"),
        lambda: studio.cancel("job_00000000000"),
        lambda: studio.log("job_00000000000"),
    ):
        with pytest.raises(errors.NotFoundError):
            call()


def test_an_engine_that_is_not_installed_says_so_before_it_is_queued(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("t2v_studio.engines.manim.installed.manim_version", lambda: "")
    with pytest.raises(errors.UnavailableError) as caught:
        studio.submit_video(parse_request({"topic": "gradient descent", "engine": "manim"}))
    assert "make manim" in caught.value.hint
    assert studio.jobs() == []


def test_a_search_without_a_book_says_so(studio: Studio) -> None:
    result = studio.search("gradient")
    assert result.outcome == "no_book"
    assert result.message


def _journey(studio: Studio, notes: Path) -> None:
    """Book, search, plan, video, pair, removal: what the issue's first sentence promises."""
    added = studio.wait(studio.submit_book(notes, title="Notes on descent").id)
    assert added.result["title"] == "Notes on descent"
    assert added.result["kept"] >= 3
    book_id = added.result["book"]
    assert [row["book"] for row in studio.books()] == [book_id]
    assert studio.book(book_id)["kept"] == added.result["kept"]
    assert len(studio.passages(book_id)) == added.result["kept"]
    again = studio.wait(studio.submit_book(notes, title="Notes on descent").id)
    assert again.result["book"] == book_id
    assert len(studio.books()) == 1

    found = studio.search("What happens when the learning rate is too large?", k=2)
    assert found.outcome == "found"
    assert "overshoots" in found.hits[0].passage.text
    several = studio.wait(studio.submit_search(["learning rate", "saddle points"], book_ids=[book_id]).id)
    assert [one["query"] for one in several.result["results"]] == ["learning rate", "saddle points"]

    measured = studio.wait(studio.submit_evaluation(book_id).id).result
    assert measured["sets"] or measured["message"]
    retrieval = studio.book(book_id)["retrieval"]
    assert bool(retrieval) == bool(measured["sets"])

    request = parse_request({"topic": "gradient descent", "use_rag": True, **TINY})
    planned = studio.wait(studio.submit_plan(request).id).result
    assert planned["plan"]["sources"]
    assert planned["plan"]["seed"] == 7
    assert planned["grounding"]["words"] > 0

    seen: set[str] = set()
    made = studio.wait(studio.submit_video(request).id, lambda row: seen.add(row.lane))
    assert made.lane == "studio"
    assert Path(made.result["video"]).is_file()
    record = studio.video(made.result["id"])
    assert record.plan.sources
    assert record.frames == made.result["frames"] == 6 * len(record.plan.scenes)
    assert [row["id"] for row in studio.videos()] == [record.id]

    pair = studio.wait(studio.submit_pair(request).id).result
    arms = [studio.video(pair[arm]["id"]) for arm in ("no_rag", "rag_semantic")]
    assert [arm.arm for arm in arms] == ["no_rag", "rag_semantic"]
    assert arms[0].frames == arms[1].frames
    assert not arms[0].plan.sources
    assert arms[1].plan.sources
    assert pair["grounding"]["ok"]
    assert studio.pair(pair["id"])["grounding"]["ok"]

    for job in studio.jobs():
        json.dumps(asdict(job))
        assert job.state == "succeeded"
    studio.wait(studio.submit_removal(book_id).id)
    assert studio.books() == []
    for path in studio.workspace.data.rglob("*"):
        assert not path.is_file() or b"overshoots the minimum" not in path.read_bytes(), path


def test_the_journey_inline(studio: Studio, notes: Path) -> None:
    _journey(studio, notes)
    assert not Roster(Queue(studio.workspace)).present()


def test_the_journey_with_workers(app: Studio, notes: Path) -> None:
    _journey(app, notes)
    lanes = {row["lane"]: row["pid"] for row in app.health()["workers"]}
    assert set(lanes) == {"library", "studio"}, "each lane kept one worker through it all"
    assert len(Roster(Queue(app.workspace)).all()) == 2


def test_a_pair_needs_a_book_that_speaks_of_the_topic(studio: Studio) -> None:
    with pytest.raises(errors.StudioError) as caught:
        studio.wait(studio.submit_pair(parse_request({"topic": "gradient descent", "use_rag": True, **TINY})).id)
    assert caught.value.hint
    assert studio.videos() == [], "nothing is drawn for a pair that would show nothing"


def test_a_video_without_retrieval_needs_no_library(studio: Studio) -> None:
    from t2v_studio.library.owner import StoreOwner

    with StoreOwner(studio.workspace):
        made = studio.wait(studio.submit_video(parse_request({"topic": "gradient descent", **TINY})).id)
        assert Path(made.result["video"]).is_file()


def test_a_video_can_be_made_again_from_its_record(studio: Studio) -> None:
    first = studio.video(
        studio.wait(studio.submit_video(parse_request({"topic": "attention", **TINY})).id).result["id"]
    )
    second = studio.video(studio.wait(studio.submit_again(first).id).result["id"])
    assert second.id != first.id
    assert second.frames_sha256 == first.frames_sha256
    folder = studio.video_folder(first.id)
    assert studio.record_at(folder / "record.json") == first
    assert studio.record_at(folder / "video.mp4").plan == first.plan


def test_a_video_is_made_again_with_its_own_model_or_not_at_all(studio: Studio) -> None:
    record = studio.video(
        studio.wait(studio.submit_video(parse_request({"topic": "attention", **TINY})).id).result["id"]
    )
    drawn = record.request.model_copy(update={"engine": "diffusion", "model_id": "wan2.1-14b"})
    with pytest.raises(errors.UnavailableError) as caught:
        studio.submit_again(record.model_copy(update={"request": drawn}))
    assert caught.value.code == "engine_unavailable" and caught.value.hint
    assert [row["id"] for row in studio.videos()] == [record.id]


def test_a_library_that_another_process_holds_is_named(studio: Studio, notes: Path) -> None:
    from t2v_studio.library.owner import StoreOwner

    with StoreOwner(studio.workspace), pytest.raises(errors.BusyError):
        studio.wait(studio.submit_book(notes).id)
    assert studio.wait(studio.submit_book(notes).id).state == "succeeded"


def test_a_figure_is_written_at_once(studio: Studio, tmp_path: Path) -> None:
    from t2v_studio.planning.plan import parse_plan

    plan = parse_plan(studio.wait(studio.submit_plan(parse_request({"topic": "attention"})).id).result["plan"])
    for suffix, start in ((".svg", b"<"), (".pdf", b"%PDF"), (".png", b"\x89PNG")):
        path = studio.figure(plan, 1, 0.5, tmp_path / f"figure{suffix}", width=640, height=360)
        assert path.read_bytes().startswith(start)
    with pytest.raises(errors.InputError):
        studio.figure(plan, 99, 0.5, tmp_path / "figure.svg")


def test_a_cancelled_video_leaves_nothing_half_made(studio: Studio) -> None:
    request = parse_request({"topic": "gradient descent", "width": 640, "height": 360, "seconds": 60})
    job = studio.submit_video(request)

    def stop(row: Any) -> None:
        if row.step:
            studio.cancel(row.id)

    with pytest.raises(errors.CancelledError):
        studio.wait(job.id, stop)
    assert studio.job(job.id).state == "cancelled"
    assert studio.videos() == []
    assert list(studio.workspace.videos.iterdir()) == []


def test_doctor_rows_say_what_each_absence_costs(studio: Studio) -> None:
    rows = studio.doctor()
    json.dumps(rows)
    for row in rows:
        assert set(row) == {"name", "state", "found", "cost", "hint"}
        assert row["state"] in ("ok", "missing", "warning")
        assert row["found"]
        if row["state"] != "ok":
            assert row["cost"], row["name"]
            assert row["hint"], row["name"]
    states = {row["name"]: row["state"] for row in rows}
    assert states["packages"] == states["ffmpeg"] == states["embedding model"] == states["workspace"] == "ok"


def test_doctor_sees_what_is_missing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    from t2v_studio.doctor import disks, engines, software

    monkeypatch.setattr("shutil.which", lambda name: None)
    for module in (software, engines):
        monkeypatch.setattr(module, "installed_version", lambda name: "")
    monkeypatch.setattr(disks, "file_system_of", lambda path: "nfs4")
    monkeypatch.setattr(disks, "LEAST_FREE_GB", 1e9)
    rows = {row["name"]: row for row in examine(studio.settings, studio.workspace)}
    assert rows["packages"]["state"] == rows["torch"]["state"] == "missing"
    assert "gradio" in rows["packages"]["found"]
    assert rows["database disk"]["state"] == rows["disk"]["state"] == "warning"
    assert rows["Docker"]["state"] == rows["graphics card"]["state"] == "warning"


def test_file_systems_are_told_apart() -> None:
    if not Path("/proc/mounts").exists():
        pytest.skip("this system has no /proc")
    assert file_system_of(Path("/proc/self")) == "proc"
    assert file_system_of(REPOSITORY)
