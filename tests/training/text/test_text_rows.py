"""What the model learns from: the completion alone, through the model's own template, no row on both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from text_rows import code, small, write_set

from t2v_studio.datasets.text_pairs.rows import Message, TextPair
from t2v_studio.errors import InputError, NotFoundError
from training.text.rows import IGNORED, coloured, encode, encode_all, read_text_set, split

THINKING = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.last and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
"""As Qwen3's: an empty thought stands in the last answer, and in the prompt where thinking is off."""


def pair(
    answer: str = "circle = Circle()", asked: str = "Draw a circle.", system: str = "", group: str = ""
) -> TextPair:
    turns = [Message(role="system", content=system)] if system else []
    turns.append(Message(role="user", content=asked))
    return TextPair(prompt=turns, completion=[Message(role="assistant", content=answer)], group=group)


@pytest.fixture(scope="module")
def tokenizer(tiny_models: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_models / "tiny-qwen3")


def test_the_loss_falls_on_the_completion_and_its_end_alone(tokenizer: Any) -> None:
    row = encode(tokenizer, pair(system="You draw."), 200)
    learned = [token for token, label in zip(row.ids, row.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(learned) == "circle = Circle()<|im_end|>\n"
    assert all(label in (IGNORED, token) for token, label in zip(row.ids, row.labels, strict=True))
    said = (("system", "You draw."), ("user", "Draw a circle."), ("assistant", "circle = Circle()"))
    turns = [{"role": role, "content": words} for role, words in said]
    assert tokenizer.decode(row.ids) == tokenizer.apply_chat_template(turns, tokenize=False)
    shown = coloured(tokenizer, row)
    assert [part["loss"] for part in shown] == [False, True] and shown[1]["text"].startswith("circle")


def test_the_labels_are_those_that_trl_makes_of_the_same_rows(
    tokenizer: Any, tiny_models: Path, tmp_path: Path
) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    pairs = [pair(code(number), f"Draw circle {number}.") for number in range(3)]
    rows = [
        {"prompt": [t.model_dump() for t in p.prompt], "completion": [t.model_dump() for t in p.completion]}
        for p in pairs
    ]
    theirs = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_models / "tiny-qwen3"),
        args=SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", max_length=40),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    ).train_dataset
    ours = [encode(tokenizer, one, 40) for one in pairs]
    assert [row["input_ids"] for row in theirs] == [row.ids for row in ours]
    assert [row["labels"] for row in theirs] == [row.labels for row in ours]


def test_an_empty_thought_belongs_to_the_prompt_as_it_does_in_use(tokenizer: Any) -> None:
    kept = tokenizer.chat_template
    tokenizer.chat_template = THINKING
    try:
        row = encode(tokenizer, pair(), 200)
    finally:
        tokenizer.chat_template = kept
    learned = [label for label in row.labels if label != IGNORED]
    assert tokenizer.decode(learned) == "circle = Circle()<|im_end|>\n"
    assert "<think>" in tokenizer.decode(row.ids)


def test_long_rows_are_cut_and_those_without_an_answer_left_out(tokenizer: Any) -> None:
    rows, cut, empty = encode_all(tokenizer, [pair(), pair("x" * 400), pair(asked="y" * 400)], 60)
    assert [len(row.ids) for row in rows] == [len(rows[0].ids), 60] and (cut, empty) == (1, 1)


def test_a_template_that_refuses_a_row_says_so(tokenizer: Any) -> None:
    kept = tokenizer.chat_template
    tokenizer.chat_template = "{{ raise_exception('no system here') }}"
    try:
        with pytest.raises(InputError, match="no system here"):
            encode(tokenizer, pair(), 200)
    finally:
        tokenizer.chat_template = kept


def test_a_combined_set_is_read_with_its_own_test_rows(tmp_path: Path) -> None:
    data = read_text_set(write_set(tmp_path / "set", 5, 3), small(system="You draw."))
    assert (len(data.train), len(data.held_out), data.refused) == (5, 3, [])
    assert all(one.prompt[0].role == "system" for one in (*data.train, *data.held_out))
    assert data.licenses == {"CC-BY-4.0": 8} and data.sources == {"ours": 8} and len(data.hash) == 64


def test_rows_without_a_test_split_are_divided_by_group(tmp_path: Path) -> None:
    pairs = [pair(f"a{number}", group=f"g{number // 3}") for number in range(12)]
    train, held_out = split(pairs, 0.25, 7)
    assert len(train) == 9 and len(held_out) == 3
    assert not {one.group for one in train} & {one.group for one in held_out}
    assert split(pairs, 0.25, 7) == (train, held_out)
    assert split(pairs[:3], 0.25, 7)[1] == [], "one group alone is not divided"


def test_held_out_copies_and_rows_of_no_shape_are_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 3, 1)
    copied = json.loads((folder / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    with (folder / "test.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(copied | {"split": "test"}) + "\n" + '{"only": "this"}\n' + "no json\n")
    data = read_text_set(folder, small())
    assert len(data.held_out) == 1 and [one["row"] for one in data.refused] == ["test.jsonl:3", "test.jsonl:4"]
    assert any("word for word" in notice for notice in data.notices)


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"instruction": "a", "output": "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="all of its rows are test rows"):
        read_text_set(tmp_path, small())
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="no set"):
        read_text_set(tmp_path / "empty", small())
