"""A text set as the trainer reads it: pairs to learn from, pairs that are held out, and their tokens with labels."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.datasets.text_pairs.files import Read, read_sets
from t2v_studio.datasets.text_pairs.rows import Message, RowError, TextPair, normalised
from t2v_studio.errors import InputError

IGNORED = -100
"""Label of a token that carries no loss."""


@dataclass(frozen=True)
class TextSet:
    """The rows of one training. refused: place and reason of what could not be used."""

    train: list[TextPair]
    held_out: list[TextPair]
    refused: list[dict[str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def hash(self) -> str:
        """SHA-256 over all rows in their order."""
        digest = hashlib.sha256()
        for pair in (*self.train, *self.held_out):
            digest.update(pair.hash.encode())
        return digest.hexdigest()

    @property
    def licenses(self) -> dict[str, int]:
        return dict(Counter(pair.license or "not named" for pair in (*self.train, *self.held_out)).most_common())

    @property
    def sources(self) -> dict[str, int]:
        return dict(Counter(pair.source or "not named" for pair in (*self.train, *self.held_out)).most_common())


def read_text_set(path: Path, recipe: TextRecipe) -> TextSet:
    """The rows of a file, or of a folder with train and test. Raises InputError where nothing is left to learn from."""
    pairs: dict[str, list[TextPair]] = {"train": [], "test": []}
    refused = []
    for row in read_sets([path]):
        try:
            pair = _usable(row, recipe.system)
        except RowError as error:
            refused.append({"row": row.place, "reason": f"{error.field}: {error}"})
            continue
        pairs["test" if row.split in ("test", "val") else "train"].append(pair)
    train, held_out, notices = pairs["train"], pairs["test"], []
    if not train and held_out:
        raise InputError("no_train_rows", "dataset: all of its rows are test rows.", "Name the folder that holds both.")
    if not train:
        first = f" The first: {refused[0]['row']}: {refused[0]['reason']}." if refused else ""
        raise InputError("no_train_rows", f"dataset: no row can be used.{first}", "See: t2v dataset validate")
    if not held_out and recipe.validation_share and recipe.validation_rows:
        train, held_out = split(train, recipe.validation_share, recipe.seed)
        notices.append(f"The set has no test rows: {len(held_out)} of its rows are held out, whole groups at a time.")
    known = {pair.hash for pair in train}
    copies = sum(pair.hash in known for pair in held_out)
    if copies:
        held_out = [pair for pair in held_out if pair.hash not in known]
        notices.append(f"{copies} held-out rows stand in the training rows word for word; they are left out.")
    held_out = random.Random(recipe.seed).sample(held_out, min(recipe.validation_rows, len(held_out)))
    if not held_out:
        notices.append("Nothing is held out, so nothing says when the model begins to learn by heart.")
    return TextSet(train, held_out, refused, notices)


def _usable(row: Read, system: str) -> TextPair:
    if row.fault:
        raise RowError("unreadable", "row", row.fault, "")
    pair = normalised(row.data)
    if system and pair.prompt[0].role != "system":
        return pair.model_copy(update={"prompt": [Message(role="system", content=system), *pair.prompt]})
    return pair


def split(pairs: Sequence[TextPair], share: float, seed: int) -> tuple[list[TextPair], list[TextPair]]:
    """Training and held-out rows; near-copies (the same group) stay together, and one group stays for each."""
    groups: dict[str, list[TextPair]] = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(pair.group or f"row {number}", []).append(pair)
    order = list(groups)
    random.Random(seed).shuffle(order)
    room = max(1, round(share * len(pairs)))
    chosen: set[str] = set()
    for name in order[:-1]:
        if len(groups[name]) <= room:
            chosen.add(name)
            room -= len(groups[name])
    return (
        [pair for name, group in groups.items() if name not in chosen for pair in group],
        [pair for name, group in groups.items() if name in chosen for pair in group],
    )


@dataclass(frozen=True)
class Encoded:
    """A row in tokens. labels: IGNORED on the prompt, the token itself on the completion. full: its length uncut."""

    ids: list[int]
    labels: list[int]
    full: int

    @property
    def loss_tokens(self) -> int:
        return sum(label != IGNORED for label in self.labels)


def encode(tokenizer: Any, pair: TextPair, max_length: int) -> Encoded:
    """One row through the model's own chat template, the loss on the completion and the token that ends it.

    The completion begins where the prompt alone and the whole conversation part, as TRL has it. Thinking is
    off in both, as it is when the model is used. Raises InputError where the template refuses the row.
    """
    prompt = [turn.model_dump() for turn in pair.prompt]
    whole = [*prompt, *(turn.model_dump() for turn in pair.completion)]
    options: dict[str, Any] = {"return_dict": True, "enable_thinking": False}
    try:
        before = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, **options)["input_ids"]
        ids = tokenizer.apply_chat_template(whole, **options)["input_ids"]
    except Exception as error:  # a template is a program: jinja raises what its author wrote
        raise InputError("chat_template", f"model: its chat template refuses a row ({error}).") from error
    shared = next((at for at, (one, two) in enumerate(zip(before, ids, strict=False)) if one != two), len(before))
    shared = min(shared, len(ids))
    labels = [IGNORED] * shared + list(ids[shared:])
    return Encoded(list(ids[:max_length]), labels[:max_length], len(ids))


def encode_all(tokenizer: Any, pairs: Sequence[TextPair], max_length: int) -> tuple[list[Encoded], int, int]:
    """The rows that carry loss, how many of them are cut, and how many the prompt alone fills."""
    rows = [encode(tokenizer, pair, max_length) for pair in pairs]
    kept = [row for row in rows if row.loss_tokens]
    return kept, sum(row.full > max_length for row in kept), len(rows) - len(kept)


def coloured(tokenizer: Any, row: Encoded) -> list[dict[str, Any]]:
    """The row as stretches of text, each with whether it carries loss: what the dry run shows."""
    parts: list[tuple[bool, list[int]]] = []
    for token, label in zip(row.ids, row.labels, strict=True):
        loss = label != IGNORED
        if not parts or parts[-1][0] != loss:
            parts.append((loss, []))
        parts[-1][1].append(token)
    return [{"text": tokenizer.decode(ids), "loss": loss} for loss, ids in parts]
