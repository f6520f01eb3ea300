"""From documentation and from other people's pairs to rows of code with instructions."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from text_sets import CIRCLE, FORMULA, SQUARE, pair, written

from t2v_studio.datasets.text_pairs import endpoint
from t2v_studio.datasets.text_pairs.captions import by_model, by_rules, caption_all, checked
from t2v_studio.datasets.text_pairs.combine import combine
from t2v_studio.datasets.text_pairs.endpoint import chat_endpoint
from t2v_studio.datasets.text_pairs.files import read_sets
from t2v_studio.datasets.text_pairs.flattened import CannotRepair, repaired
from t2v_studio.datasets.text_pairs.snippets import extract, without_prompts
from t2v_studio.errors import InputError, StudioError, UnavailableError
from t2v_studio.jobs.text_desk import TextDesk
from t2v_studio.settings import Settings


def _indented(text: str, by: int) -> str:
    return "".join(" " * by + line if line.strip() else line for line in text.splitlines(keepends=True))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package as an installed manim looks: docstrings with examples, and a page of HTML of its documentation."""
    folder = tmp_path / "fakemanim"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('it is never imported')\n", encoding="utf-8")
    (folder / "arc.py").write_text(
        f'''class Circle:
    """A circle, {"far " * 300}round.

    Examples
    --------

    .. manim:: RoundThing
        :save_last_frame:

{_indented(CIRCLE, 8)}
    Afterwards the radius can be read.
    """

    def surround(self):
        """Doctest::

            >>> circle = Circle(radius=2)
            >>> for side in range(2):
            ...     circle.shift(side)
            7
            >>> circle.radius

        """
''',
        encoding="utf-8",
    )
    (folder / "broken.py").write_text("def (", encoding="utf-8")
    (folder / "page.html").write_text(
        f"""<html><head><link rel="canonical" href="https://docs.example/circle.html"></head><body>
        <h1>Shapes</h1><p>A first shape.</p>
        <div class="highlight"><pre><code>{CIRCLE}</code></pre></div><p>It is round.</p>
        <pre>{SQUARE}</pre><p>It has corners.</p><pre>short()</pre><pre>a = 1\nb = 2\nc = 3</pre></body></html>""",
        encoding="utf-8",
    )
    return folder


def test_docstrings_and_pages_become_snippets_each_code_once(package: Path) -> None:
    rows, counts = extract(package, license="MIT")
    by_url = {row["url"]: row for row in rows}
    assert set(by_url) == {
        "fakemanim/arc.py#Circle",
        "fakemanim/arc.py#Circle.surround",
        "https://docs.example/circle.html",
    }
    circle = by_url["fakemanim/arc.py#Circle"]
    assert circle["code"] == CIRCLE.strip() and circle["after_context"] == "Afterwards the radius can be read."
    assert len(circle["before_context"].split()) == 200
    assert by_url["fakemanim/arc.py#Circle.surround"]["code"].splitlines() == [
        "circle = Circle(radius=2)",
        "for side in range(2):",
        "    circle.shift(side)",
        "circle.radius",
    ]
    square = by_url["https://docs.example/circle.html"]
    assert square["code"] == SQUARE.strip() and square["after_context"] == "It has corners."
    assert square["before_context"] == "Shapes A first shape. It is round."
    assert counts["duplicate"] == 3 and counts["file_unreadable"] == 1  # a page's block is found by three selectors
    assert counts["not_manim"] == 1 and counts["too_short"] == 1
    assert len(extract(package, limit=1)[0]) == 1
    assert len(extract(package, include_non_manim=True)[0]) == 4


def test_prompts_are_stripped() -> None:
    assert without_prompts("  >>> a = 1\n  >>> def f():\n  ...     pass\n  out") == "a = 1\ndef f():\n    pass"
    assert without_prompts("    x = 1\n      y") == "x = 1\n  y"


def test_without_manim_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="not installed"):
        TextDesk(Settings()).extract_manim_docs("manim", tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    "code", [CIRCLE, SQUARE, FORMULA, "x = f'{1} a'\ny = -x\n", "import numpy as np\na = 1 if b else 2\n"]
)
def test_flattened_code_gets_its_lines_back(code: str) -> None:
    assert ast.dump(ast.parse(repaired(" ".join(code.split())))) == ast.dump(ast.parse(code))
    assert repaired(code) == code.strip()
    if "\\" not in code:
        assert repaired(code.replace("\n", "\\n")).strip() == code.strip()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("for i in x: a(i) b(i) c()", "block of 'for'"),
        ("x = 1 # then y = 2", ""),
        ("from manim import * # all x = 1", ""),
        ("class A(Scene): # one def construct(self): pass", "comment"),
        ("x = (1", "signs"),
        ("class A(Scene): def construct(self): a = 1 def inner(u): return u b = 2", "within a method"),
        ("a = '''one two''' b = 2", "within a text"),
        ("x = = 1 y", "does not parse"),
        ("# all of it x = 1", "comment"),
        ("a b\nc", "was not flattened"),
        ("  ", "empty"),
    ],
)
def test_code_whose_lines_cannot_be_told_is_rejected_with_the_reason(code: str, reason: str) -> None:
    if not reason:
        assert repaired(code) == code  # it parses: nothing shows that a line is lost
        return
    with pytest.raises(CannotRepair, match=reason):
        repaired(code)


def test_pairs_of_a_csv_are_mended_or_rejected_and_none_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    flat = " ".join(CIRCLE.split())
    file.write_text(f'instruction,output\nDraw,"{flat}"\nLoop,"for i in x: a(i) b(i) c()"\n,"x=1"\n', encoding="utf-8")
    made = TextDesk(Settings()).extract_pairs([file], tmp_path / "out.jsonl", source="edoh", license="openrail")
    assert made["counts"] == {"read": 3, "repaired": 1, "rejected": 2}
    (row,) = [one.data for one in read_sets([tmp_path / "out.jsonl"])]
    assert row["code"].count("\n") == 6 and row["license"] == "openrail" and row["origin"] == "train.csv:2"
    rejected = [one.data for one in read_sets([Path(made["rejected"])])]
    assert [one["origin"] for one in rejected] == ["train.csv:3", "train.csv:4"]
    assert "cannot be told" in rejected[0]["reason"] and "instruction" in rejected[1]["reason"]


def test_rules_say_what_is_drawn_within_the_limit() -> None:
    assert by_rules({"code": CIRCLE}) == "Show a circle in blue. Something is drawn."
    played = "self.add(Dot())\nself.play(FocusOn(Dot()), Wait())"
    assert by_rules({"code": played}) == "Show 2 dots."
    assert '"area"' in by_rules({"code": SQUARE})
    assert by_rules({"code": "x = 1"}) == "No visible scene"
    many = "from manim import *\n" + "\n".join(f"a{i} = Object{i}('x')" for i in range(200))
    assert len(by_rules({"code": many}).split()) <= 60
    with pytest.raises(ValueError, match="does not parse"):
        by_rules({"code": "def ("})


def test_a_model_is_asked_again_once_and_its_failures_are_kept() -> None:
    asked: list[list[dict[str, str]]] = []

    def ask(messages: list[dict[str, str]]) -> str:
        asked.append(messages)
        if "Grows" in messages[1]["content"]:
            return "word " * 70
        return "A circle is drawn." if len(messages) > 2 else "word " * 70

    rows = [{"code": CIRCLE, "before_context": "A shape."}, {"code": SQUARE}]
    made, failed = caption_all(rows, by_model(ask), "test")
    assert [one["instruction"] for one in made] == ["A circle is drawn."] and made[0]["captioner"] == "test"
    assert failed[0]["code"] == SQUARE and "70 words" in failed[0]["reason"]
    assert len(asked) == 4 and "A shape." in asked[0][1]["content"]
    assert checked("<think>so</think> Draw it.") == "Draw it."


class _Server(BaseHTTPRequestHandler):
    answers: ClassVar[list[tuple[int, Any]]] = []
    seen: ClassVar[list[tuple[str, str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append((self.path, self.headers.get("Authorization", ""), body))
        status, data = type(self).answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Server)
    _Server.answers, _Server.seen = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_captions_and_its_key_stands_in_no_file(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T2V_CAPTION_KEY", "key-123456")
    settings = Settings(caption_url=address, caption_model="small")
    good = {"choices": [{"message": {"content": "A blue circle is drawn."}}]}
    _Server.answers = [(503, {}), (200, good), (400, {})]
    file = written(tmp_path / "snippets.jsonl", [{"code": CIRCLE}, {"code": SQUARE}])
    made = TextDesk(settings).caption(file, tmp_path / "out.jsonl", captioner="endpoint")
    assert made["counts"] == {"read": 2, "captioned": 1, "failed": 1}
    path, key, body = _Server.seen[1]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer key-123456", "small")
    (failed,) = [one.data for one in read_sets([Path(made["failed"])])]
    assert failed["code"] == SQUARE and "400" in failed["reason"]
    assert all("key-123456" not in one.read_text(encoding="utf-8") for one in tmp_path.glob("*.jsonl"))
    assert "key-123456" not in repr(settings)


def test_a_refused_key_ends_it_and_an_open_address_gets_no_key(address: str, tmp_path: Path) -> None:
    _Server.answers = [(401, {})]
    file = written(tmp_path / "snippets.jsonl", [{"code": CIRCLE}, {"code": SQUARE}])
    settings = Settings(caption_url=address, caption_model="small")
    with pytest.raises(StudioError) as caught:
        TextDesk(settings).caption(file, tmp_path / "out.jsonl", captioner="endpoint")
    assert caught.value.code == "caption_refused" and len(_Server.seen) == 1
    with pytest.raises(InputError, match="in the open"):
        chat_endpoint("http://far.example/v1", "m", "key")
    with pytest.raises(InputError, match="no http"):
        chat_endpoint("file:///etc", "m", "")
    assert endpoint.TRIES == 3


def test_combine_drops_copies_and_keeps_near_copies_on_one_side(tmp_path: Path) -> None:
    shapes = ["Circle", "Square", "Star", "Dot", "Line", "Arrow", "Ellipse", "Annulus", "Sector", "Triangle"]
    rows = [
        pair(f"Show {name} {number}", f"class {name}Scene{number}(Scene):\n    def construct(self):\n" + "\n".join(
            f"        {name.lower()}{step} = {name}(x{name}={step})" for step in range(12)))
        for name in shapes for number in range(2)
    ]  # fmt: skip
    rows += [rows[0], pair("Nothing", "No visible scene"), pair("flat", " ".join(CIRCLE.split())), {"a": 1}]
    file = written(tmp_path / "all.jsonl", rows)
    pairs, dropped, counts = combine(read_sets([file]))
    assert counts["read"] == 24 and counts["kept"] == 20 and counts["groups"] == 10 and counts["largest_group"] == 2
    assert (counts["train"], counts["test"]) == (16, 4)
    assert counts["dropped"] == {"duplicate": 1, "no_visible_scene": 1, "no_parse": 1, "unknown_shape": 1}
    assert [one["row"] for one in dropped] == [f"all.jsonl:{number}" for number in (21, 22, 23, 24)]
    groups = {split: {one.group for one in pairs if one.split == split} for split in ("train", "test")}
    assert not groups["train"] & groups["test"]
    assert counts["sources"] == {"own": 20} and counts["licenses"] == {"MIT": 20}
    assert combine(read_sets([file]))[0] == pairs
    assert {one.hash for one in combine(read_sets([file]), seed=1)[0] if one.split == "test"} != {
        one.hash for one in pairs if one.split == "test"
    }
    with pytest.raises(InputError):
        combine(read_sets([file]), test_share=1)


def test_what_was_extracted_captioned_and_combined_is_valid(package: Path, tmp_path: Path) -> None:
    desk = TextDesk(Settings())
    desk.extract_manim_docs(package, tmp_path / "snippets.jsonl", license="MIT")
    made = desk.caption(tmp_path / "snippets.jsonl", tmp_path / "captioned.jsonl")
    assert made["counts"]["captioned"] == 3 and made["failed"] == ""
    counts = desk.combine([tmp_path / "captioned.jsonl"], tmp_path / "set")
    assert counts["train"] + counts["test"] == 3 and counts["test"] == 1
    assert json.loads((tmp_path / "set" / "counts.json").read_text(encoding="utf-8"))["kept"] == 3
    report = desk.validate([tmp_path / "set" / "train.jsonl", tmp_path / "set" / "test.jsonl"])
    assert report["ok"] and report["shapes"] == {"prompt+completion": 3} and report["licenses"] == {"MIT": 3}


def test_a_local_chat_model_is_loaded_and_what_it_babbles_is_kept_as_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from text_sets import tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

    monkeypatch.setattr("t2v_studio.planning.chat_model.MOST_TOKENS", 80)
    torch.manual_seed(0)
    folder = tokenizer(tmp_path / "tiny")
    config = LlamaConfig(
        vocab_size=2, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=1024, bos_token_id=1, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    file = written(tmp_path / "snippets.jsonl", [{"code": "Circle()"}])
    with pytest.raises(StudioError) as caught:
        TextDesk(Settings()).caption(file, tmp_path / "out.jsonl", captioner="local", model=str(folder))
    (failed,) = [one.data for one in read_sets([Path(caught.value.details["failed"])])]
    assert caught.value.code == "no_captions" and failed["code"] == "Circle()" and "caption" in failed["reason"]
