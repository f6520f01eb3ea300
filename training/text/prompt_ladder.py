"""Answers that are prompts for a video model: their form, their length, what they copy, and how they differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from t2v_studio.planning.prompt_writing import read_answer
from training.text.answers import Answer
from training.text.ladder import Column, mean

WORDS = (30, 90)
"""Words of a prompt that a text encoder of a video model takes in whole."""
_FORM = re.compile(r"^\s*Prompt:\s*(?P<prompt>\S.*?)\s*(?:\n\s*Negative:\s*(?P<negative>\S[^\n]*))?\s*$", re.S)
_UNWANTED = re.compile(
    r"</?think>|^\s*(?:sure|certainly|here(?:'s| is| are)|okay)\b|^\s*(?:[-*•]|\d+[.)])\s|"
    r"\b(?:seed|cfg|guidance scale|steps|aspect ratio|negative prompt)\s*[:=]|\b(?:INT|EXT)\.|```",
    re.I | re.M,
)
_WORD = re.compile(r"[a-z0-9']+")
COLUMNS = (
    Column("usable", "usable", "Share that Generate would take as a scene's prompt."),
    Column("format", "format", 'Share that is one "Prompt:" line and at most one "Negative:" line.'),
    Column("length", f"{WORDS[0]}–{WORDS[1]} words", "Share whose prompt has that many words."),
    Column("clean", "clean", "Share without preamble, list, settings, screenplay marks or thinking."),
    Column("calm", "no loop", "Share in which no five words in a row stand three times."),
    Column("echo", "echo", "Mean share of the prompt's words that stood in the question.", better="down"),
    Column("distinct_2", "distinct pairs", "Pairs of words that differ, of all pairs of all answers."),
    Column("overlap", "overlap", "Mean share of an answer's four-word runs that another answer has.", better="down"),
    Column("copied", "copied", "Mean share of an answer's six-word runs that a training answer has.", better="down"),
    Column("words", "words", "Mean number of words.", share=False, better=""),
)


def judge(answers: Sequence[Answer], known: Sequence[str], *, form: bool = True) -> tuple[dict[str, Any], list[str]]:
    """Figures by column over the first answers, and what is wrong with each.

    known: answers of the training rows. form: whether an answer must have the lines Prompt: and Negative:.
    """
    texts = [answer.texts[0] if answer.texts else "" for answer in answers]
    prompts = [prompt_of(text) for text in texts]
    words = [words_of(prompt) for prompt in prompts]
    seen = {run for text in known for run in runs(words_of(text), 6)}
    pairs = [pair for one in words for pair in runs(one, 2)]
    checks = [
        {
            "format": bool(_FORM.match(text)) if form else bool(text.strip()),
            "length": WORDS[0] <= len(said) <= WORDS[1],
            "clean": bool(text.strip()) and not _UNWANTED.search(text),
            "calm": not loops(said),
        }
        for text, said in zip(texts, words, strict=True)
    ]
    names = ("format", "length", "clean", "calm")
    row: dict[str, Any] = {name: mean(check[name] for check in checks) for name in names}
    row["usable"] = mean(usable(text) for text in texts) if form else None
    asked = [set(words_of(answer.pair.asked)) for answer in answers]
    row["echo"] = mean(share(said, lambda word, old=old: word in old) for said, old in zip(words, asked, strict=True))
    row["distinct_2"] = round(len(set(pairs)) / len(pairs), 4) if pairs else None
    row["overlap"] = mean(_overlap(words))
    row["copied"] = mean(share(runs(said, 6), seen.__contains__) for said in words) if known else None
    row["words"] = mean(len(said) for said in words)
    reasons = [
        answer.error or ", ".join(name for name, good in check.items() if not good)
        for answer, check in zip(answers, checks, strict=True)
    ]
    return row, reasons


def usable(text: str) -> bool:
    """Whether the studio's prompt writer could use the answer."""
    try:
        read_answer(text)
    except ValueError:
        return False
    return True


def prompt_of(text: str) -> str:
    """The prompt alone: without its label and its negative line."""
    match = _FORM.match(text)
    return match["prompt"] if match else text


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def runs(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]


def loops(words: Sequence[str]) -> bool:
    """Whether the same five words stand three times."""
    found = runs(words, 5)
    return any(found.count(run) >= 3 for run in set(found))


def share(items: Sequence[Any], has: Any) -> float | None:
    return sum(bool(has(item)) for item in items) / len(items) if items else None


def _overlap(words: Sequence[Sequence[str]]) -> list[float | None]:
    """For each answer the share of its four-word runs that stand in another one (a plain self-BLEU of order 4)."""
    each = [set(runs(one, 4)) for one in words]
    found = []
    for number, own in enumerate(each):
        others = set().union(*(one for place, one in enumerate(each) if place != number))
        found.append(len(own & others) / len(own) if own and len(each) > 1 else None)
    return found
