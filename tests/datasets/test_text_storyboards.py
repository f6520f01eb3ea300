"""Storyboards become rows for the prompt writer; sets go to a hub after asking, private, with their card."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from text_sets import CIRCLE, SQUARE, pair, written

from t2v_studio.datasets.text_pairs import upload as uploads
from t2v_studio.datasets.text_pairs.files import read_sets
from t2v_studio.datasets.text_pairs.storyboards import gate, read_storyboards, rows_of
from t2v_studio.errors import InputError, NotFoundError, StudioError, UnavailableError
from t2v_studio.jobs.text_desk import TextDesk
from t2v_studio.settings import Settings

BOARD = """Style: film noir
Negative: daylight, cartoon

Scene 1: The harbour
An old harbour lies under rain while cranes stand like gallows above black water. A lone watchman carries
a lantern along the wet planks. Far out a ship answers with one long horn, and gulls rise from the mast.

## Scene 2 - The archive
Tags: paper, dust, lamps
Shelves of yellow paper reach into the dark of the archive. A clerk in grey gloves turns page after page beneath
a green lamp. Dust turns in the beam, and a clock without hands hangs over the only door.

Scene 3: Short
Nothing.
"""


def test_scenes_with_their_labels_become_rows_that_pass_the_gates(tmp_path: Path) -> None:
    (tmp_path / "board.txt").write_text(BOARD, encoding="utf-8")
    scenes = read_storyboards(tmp_path)
    assert [scene.title for scene in scenes] == ["The harbour", "The archive"]
    assert scenes[1].tags == ("paper", "dust", "lamps") and scenes[0].style == "film noir"
    rows, refused, counts = rows_of(scenes, augmentation=12, license="CC-BY-4.0")
    assert counts["kept"] == len(rows) and len(rows) + len(refused) == 24 and len(rows) >= 12
    assert {row["negative"] for row in rows} == {"daylight, cartoon"}
    assert all(30 <= len(row["prompt"].split()) <= 90 and len(row["tags"]) >= 2 for row in rows)
    assert len({row["group"] for row in rows}) == 2 and len({row["prompt"] for row in rows}) == len(rows)
    assert rows_of(scenes, augmentation=12, license="CC-BY-4.0")[0] == rows
    assert all(row["reason"] for row in refused)
    assert rows_of(scenes, banned=["lantern"])[2]["refused"]["banned_word"] > 0


@pytest.mark.parametrize(
    "data",
    [
        {"frames": [{"prompt": "A tall tower of glass stands alone in a desert while the sand moves around it."}]},
        {"prompts": {"0": "A tall tower of glass stands alone in a desert while the sand moves around it."}},
        [{"title": "Tower", "tags": ["glass", "sand"], "text": "A tall tower of glass stands alone in a wide desert."}],
    ],
)
def test_frames_of_json_are_scenes(tmp_path: Path, data: Any) -> None:
    (tmp_path / "board.json").write_text(json.dumps(data), encoding="utf-8")
    (scene,) = read_storyboards(tmp_path / "board.json")
    assert scene.text.startswith("A tall tower of glass")
    assert scene.title == ("Tower" if isinstance(data, list) else "A tall tower of glass stands")
    assert scene.tags == (("glass", "sand") if isinstance(data, list) else ())


def test_text_without_headers_is_read_by_sections(tmp_path: Path) -> None:
    section = "A grey street in the morning, where nobody walks and the shutters are still down, and one small dog waits at the gate."
    (tmp_path / "a.md").write_text("\n\n".join([section, "short", section.replace("gate", "door")]), encoding="utf-8")
    assert len(read_storyboards(tmp_path / "a.md")) == 1  # title and first 100 characters agree
    (tmp_path / "b.txt").write_text("Nothing", encoding="utf-8")
    with pytest.raises(InputError, match="no scene"):
        read_storyboards(tmp_path / "b.txt")
    with pytest.raises(NotFoundError):
        read_storyboards(tmp_path / "none")


GOOD = " ".join(f"word{'abcdefghij'[n % 10]}{'klmnop'[n % 6]}{'qrstuvwxyz'[n // 10]}" for n in range(40))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"prompt": "too few words"}, "too_short"),
        ({"prompt": GOOD * 3 + " a" * 60}, "too_long"),
        ({"prompt": GOOD + " guidance: 7"}, "technical_parameters"),
        ({"prompt": GOOD + " 1280x720"}, "technical_parameters"),
        ({"prompt": "INT. " + GOOD}, "screenplay_label"),
        ({"prompt": "Sure, " + GOOD}, "preamble"),
        ({"prompt": GOOD + " 1. first"}, "list"),
        ({"negative": " "}, "no_negative"),
        ({"tags": ["one"]}, "few_tags"),
        ({"prompt": GOOD + " modern"}, "banned_word"),
        ({"instruction": GOOD}, "echo"),
        ({"prompt": GOOD + " the sea is very calm" * 3}, "repeats_itself"),
    ],
)
def test_every_gate_refuses_what_it_is_for(change: dict[str, Any], reason: str) -> None:
    row = {"instruction": "Write it.", "prompt": GOOD, "negative": "blur", "tags": ["a", "b"]} | change
    assert gate(row, ["modern"]) == reason


def test_the_desk_leaves_a_review_sample_and_the_set_is_valid(tmp_path: Path) -> None:
    (tmp_path / "board.txt").write_text(BOARD, encoding="utf-8")
    desk = TextDesk(Settings())
    made = desk.process_storyboards(tmp_path / "board.txt", tmp_path / "rows.jsonl", review=5, license="CC-BY-4.0")
    assert len(read_sets([Path(made["review"])])) == 5
    counts = desk.combine([tmp_path / "rows.jsonl"], tmp_path / "set", test_share=0.5)
    assert counts["groups"] == 2 and counts["train"] and counts["test"]
    report = desk.validate([tmp_path / "set" / "train.jsonl", tmp_path / "set" / "test.jsonl"])
    assert report["ok"], report["findings"]


class FakeHub:
    """The three calls of the hub that are made, and what they were given."""

    def __init__(self, public: bool = False) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.public = public

    def create_repo(self, repo: str, **options: Any) -> None:
        self.calls.append(("create", options | {"repo": repo}))

    def repo_info(self, repo: str, repo_type: str) -> Any:
        return SimpleNamespace(private=not self.public)

    def create_commit(self, repo: str, operations: Any, **options: Any) -> Any:
        self.calls.append(("commit", {one.path_in_repo: one.path_or_fileobj for one in operations}))
        return SimpleNamespace(commit_url="https://hub.example/commit/1")


@pytest.fixture
def text_set(tmp_path: Path) -> Path:
    file = written(tmp_path / "rows.jsonl", [pair("A round circle", CIRCLE), pair("A square grows", SQUARE)])
    TextDesk(Settings()).combine([file], tmp_path / "set", test_share=0.5)
    return tmp_path / "set"


def _hub(monkeypatch: pytest.MonkeyPatch, fake: FakeHub) -> FakeHub:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(uploads, "hub", lambda token: fake)
    return fake


def test_an_upload_is_private_with_a_card_from_the_data(text_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _hub(monkeypatch, FakeHub())
    made = TextDesk(Settings()).upload(text_set, "me/shapes")
    assert made == {"repo": "me/shapes", "private": True, "url": "https://hub.example/commit/1"}
    (_, created), (_, files) = fake.calls
    assert created["private"] is True and created["repo_type"] == "dataset"
    assert set(files) == {"train.jsonl", "test.jsonl", "README.md"}
    card = files["README.md"].decode()
    assert "license: mit" in card and "| own | 2 |" in card and "| train | 1 |" in card
    assert "hf_secret" not in card


def test_nothing_is_sent_where_it_should_not_be(text_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = TextDesk(Settings())
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UnavailableError, match="HF_TOKEN"):
        desk.upload(text_set, "me/shapes")
    fake = _hub(monkeypatch, FakeHub(public=True))
    with pytest.raises(StudioError, match="public"):
        desk.upload(text_set, "me/shapes")
    assert [name for name, _ in fake.calls] == ["create"]
    broken = _hub(monkeypatch, FakeHub())
    broken.repo_info = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("no line, hf_secret"))  # type: ignore[method-assign]
    with pytest.raises(StudioError, match=r"no line, \*\*\*"):
        desk.upload(text_set, "me/shapes")
    with pytest.raises(InputError, match="repo"):
        desk.plan_upload(text_set, "../shapes")
    written(text_set / "train.jsonl", [{"prompt": "a", "completion": "hf_" + "Ab1" * 12}])
    with pytest.raises(StudioError, match="The set has 1 error"):
        desk.upload(text_set, "me/shapes")
    written(text_set / "train.jsonl", [{"prompt": "what", "completion": "that"}])
    with pytest.raises(InputError, match="licence"):
        desk.plan_upload(text_set, "me/shapes", private=False)
