"""Text sets are checked: shapes, fields, splits, secrets, encodings, code."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from text_sets import CIRCLE, FORMULA, SQUARE, pair, tokenizer, written

from t2v_studio.datasets.text_pairs.code import CodeTools, facts
from t2v_studio.datasets.text_pairs.files import read_sets
from t2v_studio.datasets.text_pairs.near import groups, near_pairs
from t2v_studio.datasets.text_pairs.rows import RowError, normalised, shape_of
from t2v_studio.datasets.text_pairs.validate import validate
from t2v_studio.errors import InputError, NotFoundError
from t2v_studio.jobs.text_desk import TextDesk
from t2v_studio.settings import Settings

TURNS = [{"role": "user", "content": "A circle"}, {"role": "assistant", "content": "Circle()"}]
SHAPES: list[tuple[str, dict[str, Any], str, str]] = [
    ("messages", {"messages": TURNS}, "A circle", "Circle()"),
    ("prompt+completion", {"prompt": "A circle", "completion": "Circle()"}, "A circle", "Circle()"),
    ("prompt+completion", {"prompt": TURNS[:1], "completion": TURNS[1:]}, "A circle", "Circle()"),
    ("chosen+rejected", {"prompt": "q", "chosen": "good", "rejected": "bad"}, "q", "good"),
    (
        "chosen+rejected",
        {"chosen": TURNS, "rejected": [TURNS[0], {**TURNS[1], "content": "no"}]},
        "A circle",
        "Circle()",
    ),
    ("instruction+output", {"instruction": "Sum", "input": "1 2", "output": "3"}, "Sum\n\n1 2", "3"),
    ("instruction+code", {"instruction": "Draw", "code": CIRCLE}, "Draw", CIRCLE),
    ("text", {"text": "Instruction: Draw\nCode:\nCircle()"}, "Draw", "Circle()"),
    (
        "style",
        {"style": "noir", "prompt": "rain", "negative": "sun", "tags": ["city"], "instruction": "A street"},
        "A street\nStyle: noir",
        "Prompt: rain\nNegative: sun",
    ),
]


@pytest.mark.parametrize(("shape", "row", "asked", "answer"), SHAPES)
def test_every_shape_has_one_normal_form(shape: str, row: dict[str, Any], asked: str, answer: str) -> None:
    assert shape_of(row) == shape
    found = normalised(row, source="own", license="MIT")
    assert (found.asked, found.answer, found.source, found.license) == (asked, answer, "own", "MIT")
    again = normalised(found.model_dump())
    assert again == found


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        ({"question": "a", "reply": "b"}, "unknown_shape", "question, reply"),
        ({"instruction": " ", "output": "b"}, "empty", "instruction"),
        ({"instruction": "a", "output": 3}, "no_text", "output"),
        ({"messages": TURNS[:1]}, "roles", "messages"),
        ({"messages": [TURNS[0], TURNS[0], TURNS[1]]}, "roles", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "roles", "messages"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "same_answers", "rejected"),
        ({"text": "plain words"}, "no_prompt", "text"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(RowError) as caught:
        normalised(row)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert caught.value.reason and caught.value.fix


def _codes(*paths: Path, **options: Any) -> dict[str, tuple[str, str]]:
    """Finding code to severity and row."""
    found = validate(read_sets(paths), tools=options.pop("tools", CodeTools()), **options)
    return {one.code: (one.severity, one.row) for one in found.findings}


def test_a_clean_set_has_no_finding(tmp_path: Path) -> None:
    train = written(tmp_path / "train.jsonl", [pair("A circle appears", CIRCLE)])
    test = written(tmp_path / "test.jsonl", [pair("A square grows beside a word", SQUARE)])
    report = validate(read_sets([train, test]), tools=CodeTools()).as_dict()
    assert report["ok"] and report["findings"] == []
    assert report["splits"] == {"train": 1, "test": 1}
    assert report["code"] == {"rows": 2, "parse": 2, "one_scene": 2}


def test_copies_across_splits_are_errors_and_within_one_warnings(tmp_path: Path) -> None:
    near = CIRCLE.replace("RoundThing", "Other")
    rows = [pair("A blue circle is drawn on the screen", CIRCLE), pair("A square grows", SQUARE)]
    train = written(tmp_path / "train.jsonl", [*rows, rows[1]])
    test = written(tmp_path / "test.jsonl", [pair("A blue circle is drawn on the screen", near), rows[1]])
    found = _codes(train, test)
    assert found["near_copy_across_splits"] == ("error", "test.jsonl:1")
    assert found["duplicate_across_splits"] == ("error", "test.jsonl:2")
    assert found["duplicate"] == ("warning", "train.jsonl:3")


def test_a_group_stays_in_one_split(tmp_path: Path) -> None:
    file = written(
        tmp_path / "rows.jsonl",
        [pair("a", CIRCLE, group="g1", split="train"), pair("b", FORMULA, group="g1", split="test")],
    )
    assert _codes(file)["group_across_splits"] == ("error", "rows.jsonl:2")


def test_secrets_are_errors_and_never_printed(tmp_path: Path) -> None:
    token = "hf_" + "Ab1" * 12
    file = written(tmp_path / "rows.jsonl", [pair(f"Use {token} to draw", CIRCLE), pair("ask me@uni.org", SQUARE)])
    report = validate(read_sets([file]), tools=CodeTools()).as_dict()
    assert report["by_code"] == {"secret": 1, "person": 1}
    assert token not in json.dumps(report)


def test_broken_encodings_are_found_with_what_they_should_be(tmp_path: Path) -> None:
    rows = [pair("The café opens", CIRCLE), pair("The cafÃ© opens", SQUARE), pair("lost \ufffd", FORMULA)]
    report = validate(read_sets([written(tmp_path / "rows.jsonl", rows)]), tools=CodeTools()).as_dict()
    found = [one for one in report["findings"] if one["code"] == "encoding"]
    assert [one["row"] for one in found] == ["rows.jsonl:2", "rows.jsonl:3"]
    assert "é" in found[0]["fix"]


def test_code_is_read_without_being_run() -> None:
    assert facts(CIRCLE).scenes == ("RoundThing",) and not facts(CIRCLE).latex
    assert facts(FORMULA).latex == ("MathTex",)
    assert facts("class A(Scene):\n    def construct(self): pass\nclass B(A):\n    pass\n").scenes == ("B",)
    assert facts("class A(Scene):\n    pass\n").bare == ("A",)
    assert facts("x = DecimalNumber(1)").latex == ("DecimalNumber",)
    assert facts("x = DecimalNumber(1, mob_class=Text)").latex == ()
    flat = " ".join(CIRCLE.split())
    assert facts(flat).fault and facts(flat).lines == 1
    assert facts("x = " + "(" * 5000).fault


def test_faults_of_code_are_told_apart(tmp_path: Path) -> None:
    rows = [pair("flat", " ".join(CIRCLE.split())), pair("two", CIRCLE + SQUARE.split("*", 1)[1]), pair("e", FORMULA)]
    rows.append(pair("word " * 61, SQUARE))
    found = _codes(written(tmp_path / "rows.jsonl", rows))
    assert found["no_parse"] == ("error", "rows.jsonl:1")
    assert found["not_one_scene"] == ("warning", "rows.jsonl:2")
    assert found["latex"] == ("note", "rows.jsonl:3")
    assert found["long_prompt"] == ("warning", "rows.jsonl:4")


def test_the_engine_is_asked_and_refused_code_is_never_run(tmp_path: Path) -> None:
    ran: list[str] = []

    def dry_run(code: str, scene: str) -> str:
        ran.append(scene)
        return "NameError: Sqare" if scene == "Grows" else ""

    tools = CodeTools(lambda code: ["it opens files"] if "MathTex" in code else [], dry_run)
    rows = [pair("a", CIRCLE), pair("b", SQUARE), pair("c", FORMULA)]
    file = written(tmp_path / "rows.jsonl", rows)
    found = _codes(file, tools=tools)
    assert found["gate"] == ("error", "rows.jsonl:3") and found["dry_run"] == ("error", "rows.jsonl:2")
    assert ran == ["RoundThing", "Grows"]
    counted = validate(read_sets([file]), tools=tools).code
    assert (counted["gate"], counted["dry_run"]) == (2, 1)


def test_tokens_are_counted_with_the_real_template_and_what_is_cut_off_is_said(tmp_path: Path) -> None:
    file = written(tmp_path / "rows.jsonl", [pair("A circle", CIRCLE), pair("Many " * 40, SQUARE)])
    found = TextDesk(Settings()).validate([file], tokenizer=tokenizer(tmp_path / "tokenizer"), max_length=64)
    tokens = found["tokens"]
    assert tokens["rows"] == 2 and tokens["truncated"] == 1 and tokens["max"] > 64 > tokens["min"]
    assert sum(one["rows"] for one in tokens["bins"]) == 2
    assert found["by_code"]["truncated"] == 1
    without = TextDesk(Settings()).validate([file])
    assert without["tokens"]["available"] is False and "tokens" in without["unchecked"]
    with pytest.raises(InputError):
        TextDesk(Settings()).validate([file], tokenizer=tmp_path / "none")


def test_files_of_all_formats_and_broken_lines(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\nnot json\n[1]\n', encoding="utf-8")
    (tmp_path / "sets.json").write_text(json.dumps({"validation": [{"text": "b"}]}), encoding="utf-8")
    with (tmp_path / "more.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["instruction", "output"], ["Draw", "a\nb"]])
    rows = read_sets([tmp_path])
    assert [(row.place, row.split, bool(row.fault)) for row in rows] == [
        ("more.csv:2", "", False),
        ("sets.json:validation:1", "val", False),
        ("train.jsonl:1", "train", False),
        ("train.jsonl:2", "train", True),
        ("train.jsonl:3", "train", True),
    ]
    assert _codes(tmp_path / "train.jsonl")["unreadable"][0] == "error"
    with pytest.raises(NotFoundError):
        read_sets([tmp_path / "gone.jsonl"])
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError):
        read_sets([tmp_path / "bad.json"])


def test_a_folder_that_combine_made_is_read_without_what_lies_beside_its_rows(tmp_path: Path) -> None:
    rows = written(
        tmp_path / "rows.jsonl", [pair("A circle", CIRCLE), pair("A square", SQUARE), pair("A circle", CIRCLE)]
    )
    TextDesk(Settings()).combine([rows], tmp_path / "set")
    assert {"train.jsonl", "test.jsonl", "counts.json", "dropped.jsonl"} <= {
        one.name for one in (tmp_path / "set").iterdir()
    }
    found = TextDesk(Settings()).validate([tmp_path / "set"])
    assert found["rows"] == 2 and found["ok"]


def test_near_copies_hang_together_in_groups() -> None:
    base = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    texts = [base, base + " sixteen", "something that is wholly another text than these are", base.upper(), ""]
    pairs = near_pairs(texts)
    assert (0, 1) in pairs and (0, 3) in pairs and all(2 not in one and 4 not in one for one in pairs)
    assert groups(5, pairs) == [0, 0, 2, 0, 4]


def test_a_file_without_licence_is_one_line_of_the_report(tmp_path: Path) -> None:
    for name, more in (("bare", {}), ("named", {"license": "MIT", "source": "own"})):
        rows = [{"instruction": f"Say {word}", "output": word * 9, **more} for word in ("red", "green", "blue")]
        written(tmp_path / f"{name}.jsonl", rows)
    found = validate(read_sets([tmp_path / "bare.jsonl", tmp_path / "named.jsonl"]), tools=CodeTools())
    assert [(one.code, one.row) for one in found.findings if one.field in ("license", "source")] == [
        ("no_license", "bare.jsonl:1"),
        ("no_source", "bare.jsonl:1"),
    ]
    assert "nor in 2 more rows" in found.findings[0].reason
    assert found.licenses == {"": 3, "MIT": 3}
