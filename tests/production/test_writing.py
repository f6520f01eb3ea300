"""The prompt writer in a video and in a pair: found by name, one choice for both arms, replayed from the record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from rectangles import make_plan, make_treated

from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.errors import InputError, StudioError
from t2v_studio.planning import chat_model
from t2v_studio.planning.planner import Planned
from t2v_studio.planning.timing import pair_timing
from t2v_studio.production import writing
from t2v_studio.production.again import again
from t2v_studio.production.pairs import PlannedPair, make_pair, read_pair
from t2v_studio.production.produce import produce
from t2v_studio.production.request import VideoRequest

sys.path.append(str(Path(__file__).parents[1] / "planning"))
import chat_models

ANSWER = "A wide hill under an even light, and a small round ball that rolls from its side down to the flat ground."


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_models.save("qwen3", tmp_path_factory.mktemp("writer") / "qwen3", window=2048)


def request(writer: Path, **fields: Any) -> VideoRequest:
    return VideoRequest(
        topic="gradient descent", seed=3, engine="diffusion", model_id="tiny-wan", text_overlay=False, width=128, height=128,
        scene_frames=5, fps=8, steps=1, guidance=1.0, prompt_writer=str(writer), **fields,
    )  # fmt: skip


class Fluent(chat_model.ChatModel):
    """The real model, loaded and asked; what it babbles is replaced by a usable answer."""

    loaded = 0

    def __call__(self, messages: list[dict[str, str]], **options: Any) -> str:
        assert self._loaded is not None
        scene = messages[1]["content"].splitlines()[1]
        return f"Prompt: {ANSWER} {scene.split(',')[0].replace(':', '')}.\nNegative: people"

    def __enter__(self) -> Fluent:
        Fluent.loaded += 1
        super().__enter__()
        return self


def test_random_weights_write_nothing_usable_and_the_video_is_made(writer, workspace, settings, monkeypatch) -> None:
    monkeypatch.setattr(writing, "USE", chat_model.Use("prompt_writer", "writer", "", most_tokens=24))
    engine = DiffusionEngine(settings, workspace)
    record = produce(request(writer), Planned(make_plan()), workspace=workspace, settings=settings, engine=engine)
    notes = [scene.written for scene in record.plan.scenes]
    assert all(note is not None and not note.taken and len(note.sha256) == 64 for note in notes)
    assert [scene.prompt for scene in record.plan.scenes] == [scene.prompt for scene in make_plan().scenes]
    assert any("0 of 2 scenes" in notice for notice in record.notices)


def test_a_record_made_again_replays_its_prompts_without_the_writer(writer, workspace, settings, monkeypatch) -> None:
    monkeypatch.setattr(writing, "ChatModel", Fluent)
    engine = DiffusionEngine(settings, workspace)
    record = produce(request(writer), Planned(make_plan()), workspace=workspace, settings=settings, engine=engine)
    read = [scene.details["prompt"]["text"] for scene in record.scenes]
    assert all(text.startswith(ANSWER) for text in read) and record.request.prompt_writer == str(writer)

    def gone(*_: Any) -> Any:
        raise AssertionError("the writer is not asked again")

    monkeypatch.setattr(writing, "find_writer", gone)
    copy = again(record, workspace=workspace, settings=settings, engine=engine)
    assert copy.frames_sha256 == record.frames_sha256 and copy.plan == record.plan


def test_both_arms_of_a_pair_are_written_by_one_load(writer, workspace, settings, monkeypatch) -> None:
    monkeypatch.setattr(writing, "ChatModel", Fluent)
    Fluent.loaded = 0
    treated, control = make_treated(), Planned(make_plan())
    control.plan, treated.plan = pair_timing(control.plan, treated.plan)
    asked = request(writer, use_rag=True)
    engine = DiffusionEngine(settings, workspace)
    pair = make_pair(asked, PlannedPair(control, treated), workspace=workspace, settings=settings, engine=engine)
    found = read_pair(workspace, pair["id"])
    one, two = found["no_rag"].plan.scenes, found["rag_semantic"].plan.scenes
    assert Fluent.loaded == 1
    assert [scene.written.taken for scene in one] == [scene.written.taken for scene in two]
    assert any(scene.written.taken for scene in two)
    assert [scene.negative_prompt for scene in one] == [scene.negative_prompt for scene in two]
    assert {scene.written.sha256 for scene in (*one, *two)} == {
        writing.find_writer(str(writer), settings, workspace).sha256()
    }
    tokens = found["grounding"]["tokens"]
    assert tokens["ok"] and all(row["words"] for row in tokens["scenes"])


def test_a_writer_that_is_none_is_refused_by_name(workspace, settings, tmp_path) -> None:
    for name, code in (("no-such-writer", "unknown_name"), (str(tmp_path), "no_writer_model")):
        with pytest.raises(StudioError, match="prompt_writer") as refused:
            writing.find_writer(name, settings, workspace)
        assert refused.value.code == code and isinstance(refused.value, InputError)


def test_an_engine_without_prompts_is_not_written_for(writer, workspace, settings, engine, monkeypatch) -> None:
    planned = Planned(make_plan())
    asked = request(writer).model_copy(update={"engine": "local"})
    assert writing.write_prompts(asked, planned, engine, settings=settings, workspace=workspace) is planned
