"""Rows of text sets: the shapes that are known, and the one form that the trainer reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["system", "user", "assistant"]
ROLES = ("system", "user", "assistant")
Row = Mapping[str, Any]

OUTPUTS = ("output", "response")
STYLES = ("style", "style_name")
NEGATIVES = ("negative", "negative_prompt")
SHAPES: dict[str, str] = {
    "messages": "messages",
    "prompt+completion": "prompt, completion",
    "chosen+rejected": "chosen, rejected (prompt)",
    "instruction+output": "instruction, output (input)",
    "instruction+code": "instruction, code (input)",
    "text": "text",
    "style": "style, prompt, negative (tags, instruction)",
}
"""Name to the fields that make it; those in brackets may be absent. Tried in this order."""
_TEXT_PARTS = re.compile(
    r"^\s*(?:###\s*)?Instruction:\s*(?P<prompt>.+?)\n\s*(?:###\s*)?(?:Code|Response|Output):\s*(?P<completion>.+)$",
    re.S,
)


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    content: str = Field(min_length=1)


class TextPair(BaseModel):
    """One row as the trainer reads it: a conversation up to the answer, and the answer, which carries the loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: list[Message] = Field(min_length=1)
    completion: list[Message] = Field(min_length=1)
    source: str = Field("", description="The set or the program that the row comes from.")
    license: str = Field("", description="Of the row's text, as an SPDX name where there is one.")
    url: str = Field("", description="Page or object that the row was taken from.")
    group: str = Field("", description="Near-copies share it; a split never breaks it.")
    split: str = ""

    @property
    def asked(self) -> str:
        return "\n".join(message.content for message in self.prompt if message.role != "system")

    @property
    def answer(self) -> str:
        return "\n".join(message.content for message in self.completion)

    @property
    def hash(self) -> str:
        """SHA-256 over both sides: the same for the same words."""
        return hashlib.sha256(f"{self.asked}\0{self.answer}".encode()).hexdigest()


class RowError(ValueError):
    """A row that cannot be used: code, field, reason, fix."""

    def __init__(self, code: str, field: str, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.code, self.field, self.reason, self.fix = code, field, reason, fix


def shape_of(row: Row) -> str:
    """The name of a row's shape in SHAPES. Raises RowError unknown_shape."""
    has = set(row)
    if "messages" in has:
        return "messages"
    if "prompt" in has and has & {"completion", "response"}:
        return "prompt+completion"
    if {"chosen", "rejected"} <= has:
        return "chosen+rejected"
    if "instruction" in has and has & set(OUTPUTS):
        return "instruction+output"
    if {"instruction", "code"} <= has:
        return "instruction+code"
    if "text" in has:
        return "text"
    if "prompt" in has and has & set(STYLES):
        return "style"
    raise RowError(
        "unknown_shape",
        ", ".join(sorted(has)) or "row",
        "its fields are of no known shape",
        f"Rename them to one of: {'; '.join(SHAPES.values())}.",
    )


def normalised(row: Row, *, source: str = "", license: str = "") -> TextPair:
    """The row as a conversational pair. source and license: for rows that name none. Raises RowError.

    Of a preference row the chosen answer is taken. A text row is one only where it says which part is the answer.
    """
    prompt, completion = _SIDES[shape_of(row)](row)
    return TextPair(
        prompt=prompt,
        completion=completion,
        source=_plain(row, "source") or source,
        license=_plain(row, "license") or license,
        url=_plain(row, "url"),
        group=_plain(row, "group"),
        split=_plain(row, "split"),
    )


Sides = tuple[list[Message], list[Message]]


def _of_messages(row: Row) -> Sides:
    turns = _turns(row["messages"], "messages")
    if turns[-1].role != "assistant":
        raise RowError("roles", "messages", f"it ends with {turns[-1].role}", "End with the assistant's answer.")
    if len(turns) < 2:
        raise RowError("roles", "messages", "nothing is asked before the answer", "Put the user's turn first.")
    return turns[:-1], turns[-1:]


def _of_completion(row: Row) -> Sides:
    name = "completion" if "completion" in row else "response"
    return _side(row, "prompt", "user"), _side(row, name, "assistant")


def _of_preference(row: Row) -> Sides:
    if row["chosen"] == row["rejected"]:
        raise RowError("same_answers", "rejected", "it equals chosen", "Remove the row: it prefers nothing.")
    _side(row, "rejected", "assistant")
    if "prompt" in row:
        return _side(row, "prompt", "user"), _side(row, "chosen", "assistant")
    if isinstance(row["chosen"], list):
        return _of_messages({"messages": row["chosen"]})
    raise RowError("no_prompt", "prompt", "nothing says what both answers were given to", "Add a prompt field.")


def _of_instruction(row: Row) -> Sides:
    name = next(name for name in (*OUTPUTS, "code") if name in row)
    asked = _text(row, "instruction")
    given = _plain(row, "input")
    return [_message("user", f"{asked}\n\n{given}" if given else asked)], [_message("assistant", _text(row, name))]


def _of_text(row: Row) -> Sides:
    found = _TEXT_PARTS.match(_text(row, "text"))
    if not found:
        raise RowError(
            "no_prompt",
            "text",
            "nothing says where the prompt ends and the answer begins",
            "Give prompt and completion, or the lines Instruction: and Code: (or Response:).",
        )
    return [_message("user", found["prompt"].strip())], [_message("assistant", found["completion"].strip())]


def _of_style(row: Row) -> Sides:
    style = _text(row, next(name for name in STYLES if name in row))
    negative = next((_plain(row, name) for name in NEGATIVES if name in row), "")
    tags = row.get("tags") or []
    tags = ", ".join(map(str, tags)) if isinstance(tags, list) else str(tags)
    asked = _plain(row, "instruction") or f"Write a prompt for a video model.\nTags: {tags or style}"
    answer = f"Prompt: {_text(row, 'prompt')}" + (f"\nNegative: {negative}" if negative else "")
    return [_message("user", f"{asked}\nStyle: {style}")], [_message("assistant", answer)]


_SIDES = {
    "messages": _of_messages,
    "prompt+completion": _of_completion,
    "chosen+rejected": _of_preference,
    "instruction+output": _of_instruction,
    "instruction+code": _of_instruction,
    "text": _of_text,
    "style": _of_style,
}


def _message(role: Role, content: str) -> Message:
    return Message(role=role, content=content)


def _side(row: Row, field: str, role: Role) -> list[Message]:
    return _turns(row[field], field) if isinstance(row[field], list) else [_message(role, _text(row, field))]


def _turns(value: Any, field: str) -> list[Message]:
    """A list of role and content, roles in turn, a system line first alone."""
    if not isinstance(value, list) or not value:
        raise RowError("empty", field, "it is no list of turns", 'Write [{"role": "user", "content": "…"}, …].')
    turns: list[Message] = []
    for number, turn in enumerate(value):
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in ROLES:
            raise RowError("roles", field, f"turn {number} has the role {role!r}", f"Use {', '.join(ROLES)}.")
        if (role == "system" and number) or (turns and role == turns[-1].role):
            raise RowError("roles", field, f"turn {number} ({role}) is out of order", "User and assistant take turns.")
        turns.append(_message(role, _text(turn, "content", f"{field}[{number}].content")))
    return turns


def _text(row: Row, name: str, shown: str = "") -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise RowError("no_text", shown or name, f"it holds {type(value).__name__}, not text", "Write a string.")
    if not value.strip():
        raise RowError("empty", shown or name, "it is empty", "Fill it in, or remove the row.")
    return value


def _plain(row: Row, name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""
