"""What is asked of whom in an evaluation: the held-out prompts, answered by base, base with examples, and adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2v_studio.datasets.text_pairs.rows import TextPair
from t2v_studio.errors import CancelledError, StudioError

Messages = list[dict[str, str]]
Ask = Callable[..., str]
"""`ask(messages, temperature=…, seed=…)`: a ChatModel, or what stands for one in a test."""
TEMPERATURE = 0.7
EXAMPLES = 3


@dataclass(frozen=True)
class Who:
    """One row of the table: a model, with the adapter of a step or none, and with examples or none."""

    name: str
    adapter: Path | None = None
    step: int | None = None
    examples: bool = False


@dataclass
class Answer:
    """A held-out row and the answers to it; the first is greedy, the others are drawn. error: why there is none."""

    pair: TextPair
    texts: list[str] = field(default_factory=list)
    error: str = ""


def answered(
    who: Who,
    pairs: Sequence[TextPair],
    opened: Callable[[Path | None], AbstractContextManager[Ask]],
    *,
    tries: int,
    nearest: Callable[[TextPair], list[TextPair]],
    tell: Callable[[int], None],
) -> list[Answer]:
    """The answers of one row of the table, one model load for all of them."""
    found = []
    with opened(who.adapter) as ask:
        for number, pair in enumerate(pairs):
            tell(number)
            answer = Answer(pair)
            try:
                messages = asked(pair, nearest(pair) if who.examples else [])
                answer.texts.append(ask(messages))
                answer.texts += [ask(messages, temperature=TEMPERATURE, seed=seed) for seed in range(1, tries)]
            except CancelledError:
                raise
            except StudioError as error:
                answer.error = str(error)
            found.append(answer)
    return found


def asked(pair: TextPair, examples: Sequence[TextPair] = ()) -> Messages:
    """The prompt of a row, examples put before it as turns that were answered."""
    turns = [turn.model_dump() for turn in pair.prompt]
    system = turns[:1] if turns[0]["role"] == "system" else []
    shown = []
    for one in examples:
        shown += [{"role": "user", "content": one.asked}, {"role": "assistant", "content": one.answer}]
    return [*system, *shown, *turns[len(system) :]]


def nearest_of(train: Sequence[TextPair]) -> Callable[[TextPair], list[TextPair]]:
    """Finds the training rows whose prompts share the most telling words with a row's (BM25)."""
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize([pair.asked for pair in train], show_progress=False), show_progress=False)
    count = min(EXAMPLES, len(train))

    def find(pair: TextPair) -> list[TextPair]:
        tokens = bm25s.tokenize([pair.asked], show_progress=False)
        places, _ = index.retrieve(tokens, k=count, show_progress=False)
        return [train[int(place)] for place in places[0]]

    return find


def chat_of(folder: Path, tokens: int) -> Callable[[Path | None], AbstractContextManager[Any]]:
    """Opens the local chat model of `folder`, wearing an adapter's folder or none."""
    from t2v_studio.planning.chat_model import ChatModel, Use

    use = Use("model", "evaluation", "See the run's recipe.", most_tokens=tokens)
    return lambda adapter: ChatModel(folder, adapter=adapter, use=use)
