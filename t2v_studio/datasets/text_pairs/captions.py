"""What a piece of Manim code shows, in at most 60 words: by rules, or by a language model."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from t2v_studio.datasets.text_pairs.code import parsed
from t2v_studio.datasets.text_pairs.faults import secrets_in
from t2v_studio.errors import CancelledError, StudioError

WORDS_MAX = 60
Ask = Callable[[list[dict[str, str]]], str]
Captioner = Callable[[Mapping[str, Any]], str]
NO_SCENE = "No visible scene"
_SYSTEM = (
    "You write instructions for a Manim programmer. Describe the visual result of the code in one or two sentences,"
    f" as a request, in at most {WORDS_MAX} words. Name objects, colours, labels and motion. No code, no preamble, no"
    f' list. If the code draws nothing, answer exactly "{NO_SCENE}".'
)
_MOTIONS = {
    "Create": "is drawn", "Write": "is written", "FadeIn": "fades in", "FadeOut": "fades out",
    "Transform": "turns into another shape", "ReplacementTransform": "turns into another shape",
    "Rotate": "rotates", "GrowFromCenter": "grows from its centre", "Uncreate": "is undone", "Indicate": "lights up",
    "DrawBorderThenFill": "is outlined and filled", "MoveAlongPath": "moves along a path", "LaggedStart": "appear in turn",
    "shift": "is shifted", "scale": "is scaled", "rotate": "is rotated", "move_to": "moves", "to_edge": "goes to an edge",
    "set_color": "changes colour", "next_to": "stands beside another", "arrange": "are lined up",
}  # fmt: skip
_NOT_SHOWN = frozenset({"VGroup", "Group", "Scene", "ValueTracker", "UpdateFromFunc", "ManimColor"})
_COLOURS = frozenset(
    ["RED", "GREEN", "BLUE", "YELLOW", "ORANGE", "PURPLE", "PINK", "TEAL", "GOLD", "WHITE", "MAROON", "GRAY", "GREY"]
)


def caption_all(
    rows: Iterable[Mapping[str, Any]],
    captioner: Captioner,
    name: str,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows with `instruction` and `captioner`, and those that failed with `reason`; none is lost."""
    made, failed = [], []
    for number, row in enumerate(rows, start=1):
        try:
            text = checked(captioner(row))
            kept = {key: value for key, value in row.items() if key not in ("before_context", "after_context")}
            made.append({"instruction": text, **kept, "captioner": name})
        except CancelledError:
            raise
        except (StudioError, ValueError) as error:
            if isinstance(error, StudioError) and error.code == "caption_refused":
                raise  # the next row would be refused, too
            failed.append({**row, "reason": error.message if isinstance(error, StudioError) else str(error)})
        report(number)
    return made, failed


def checked(text: str) -> str:
    """A caption on one line. Raises ValueError for an empty, an overlong one, or one that is code."""
    text = re.sub(r"<think>.*?</think>", " ", text, flags=re.S)
    text = " ".join(text.split()).strip('"` ')
    words = len(text.split())
    if not words:
        raise ValueError("the caption is empty")
    if words > WORDS_MAX:
        raise ValueError(f"the caption has {words} words, {WORDS_MAX} are allowed")
    if "from manim import" in text or "def construct" in text:
        raise ValueError("the caption is code")
    if secrets_in(text):
        raise ValueError("the caption holds a secret")
    return text


def by_model(ask: Ask) -> Captioner:
    """A captioner that asks a chat model; an answer that breaks the rules is asked for once more."""

    def caption(row: Mapping[str, Any]) -> str:
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _question(row)}]
        answer = ask(messages)
        try:
            return checked(answer)
        except ValueError as error:
            again = f"That cannot be used: {error}. Answer again in at most {WORDS_MAX} words."
            return ask([*messages, {"role": "assistant", "content": answer or "…"}, {"role": "user", "content": again}])

    return caption


def _question(row: Mapping[str, Any]) -> str:
    parts = [("Before the code", "before_context"), ("Code", "code"), ("After the code", "after_context")]
    return "\n\n".join(f"{title}:\n{row[name]}" for title, name in parts if row.get(name))


def by_rules(row: Mapping[str, Any]) -> str:
    """A caption that says what is named in the code: objects, colours, labels and motions. Needs no model."""
    try:
        tree = parsed(str(row["code"]))
    except SyntaxError as error:
        raise ValueError(f"the code does not parse ({error.msg})") from error
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [_name(node) for node in sorted(calls, key=lambda node: (node.lineno, node.col_offset))]
    played = {
        _name(part) for node in calls if _name(node) == "play" for part in node.args if isinstance(part, ast.Call)
    }
    objects = Counter(
        name for name in names if name[:1].isupper() and name not in _MOTIONS and name not in played and not name.isupper()
        and name not in _NOT_SHOWN and not name.endswith("Scene")
    )  # fmt: skip
    motions = list(dict.fromkeys(_MOTIONS[name] for name in names if name in _MOTIONS))
    if not objects:
        return NO_SCENE
    colours = [node.id.lower() for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in _COLOURS]
    text = "Show " + _listed([_counted(name, count) for name, count in objects.most_common(5)])
    colours = list(dict.fromkeys(colours))[:3]
    text += f" in {_listed(colours)}" if colours else ""
    labels = [_label(node) for node in calls if _name(node) in ("Text", "Tex", "MathTex", "MarkupText", "Paragraph")]
    labels = [f'"{label}"' for label in dict.fromkeys(labels) if label and len(label.split()) <= 5][:3]
    text += f", labelled {_listed(labels)}" if labels else ""
    return (
        f"{text}. {_listed([f'something {motion}' for motion in motions[:3]]).capitalize()}." if motions else f"{text}."
    )


def _name(node: ast.Call) -> str:
    target = node.func
    return target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""


def _label(node: ast.Call) -> str:
    first = node.args[0] if node.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _counted(name: str, count: int) -> str:
    words = (
        "formula" if "Tex" in name else re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()
    )
    if count > 1:
        return f"{count} {words}{'' if words.endswith('s') else 's'}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else ""
