"""The errors that a person sees: what happened, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class StudioError(Exception):
    """A failure with a stable code, a message (what happened) and a hint (what to do).

    The page shows message and hint, the log gets the traceback, the command line exits with
    `exit_code`. `details` carries figures that belong to the failure, such as a grounding report.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        """The machine form: code, message, hint, and details where there are any."""
        form: dict[str, Any] = {"code": self.code, "message": self.message, "hint": self.hint}
        if self.details:
            form["details"] = self.details
        return form


class InputError(StudioError):
    """A field holds something that cannot be used; the message names the field."""

    exit_code = 2


class NotFoundError(StudioError):
    """An id that names nothing in this workspace."""

    exit_code = 3


class UnavailableError(StudioError):
    """Something that is not installed or not running; the hint says how to get it."""

    exit_code = 4


class BusyError(StudioError):
    """Another process holds what this one needs."""

    exit_code = 5


class ConflictError(StudioError):
    """The thing is not in a state that allows this step, or another window was newer."""

    exit_code = 7


class LimitError(StudioError):
    """A limit on time, memory or size was reached."""

    exit_code = 6


class CancelledError(StudioError):
    """The user stopped the work. Raised at a step boundary, never shown as a failure."""

    exit_code = 130

    def __init__(self, message: str = "The job was cancelled.") -> None:
        super().__init__("cancelled", message, "Start it again whenever you like.")


def plural(count: int, noun: str) -> str:
    """A number of things in words: 1 frame, 2 frames."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def unknown_name(field: str, name: str, known: list[str], hint: str = "") -> InputError:
    """The error for a name that is not in a closed list, with the nearest one that is. hint: in place of the whole list."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f'Did you mean "{near[0]}"?' if near else hint or f"Use one of: {', '.join(sorted(known))}."
    return InputError("unknown_name", f'{field}: "{name}" is not known.', hint)


def wrong_fields(
    code: str, error: ValidationError, where: str = "", *, known: Iterable[str] = (), hint: str = ""
) -> InputError:
    """The error for data that a model refuses: a name that it does not know, before a value that cannot be.

    The field stands in the details. where: the file or thing that it stands in. known: every name that there is, for the
    nearest one. hint: for what does not say by itself what helps.
    """
    rows = error.errors(include_url=False)
    first = next((row for row in rows if row["type"] == "extra_forbidden"), rows[0])
    return wrong_field(code, first, where, known=known, hint=hint)


def wrong_field(
    code: str, row: Mapping[str, Any], where: str = "", *, known: Iterable[str] = (), hint: str = ""
) -> InputError:
    """`wrong_fields` for one row of a ValidationError's `errors()`."""
    *above, name = [str(part) for part in row["loc"]] or [""]
    if row["type"] == "extra_forbidden":
        stands_in = ": ".join(filter(None, (where, ".".join(above)))) or "fields"
        return unknown_name(stands_in, name, list(known), hint)
    field = ".".join(filter(None, (*above, name)))
    named = ": ".join(filter(None, (where, field)))
    if row["type"] == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in str(row["ctx"]["expected_tags"]).split(",")]
        return unknown_name(f"{named}.kind", str(row["ctx"]["tag"]), tags)
    message, own = _in_words(row)
    said = f"{named}: {message}" if named else message
    return InputError(
        code, f"{said}.", own or hint or "Correct it and try again.", **({"field": field} if field else {})
    )


_KINDS = {"list_type": "a list", "tuple_type": "a list", "string_type": "text"} | dict.fromkeys(
    ("dict_type", "model_type", "model_attributes_type"), "a set of fields"
)


_BOUNDS = ("less_than_equal", "less_than", "greater_than_equal", "greater_than")


def _figure(number: Any) -> str:
    """A number as a person writes it: whole ones with every digit."""
    return f"{number:.12g}" if isinstance(number, float) else str(number)[:60]


def _in_words(error: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong with a value, and what to do where that is plain; without a full stop and the field's name."""
    kind, context, value = error["type"], error.get("ctx") or {}, error.get("input")
    shown = _figure(value) if isinstance(value, int | float) and not isinstance(value, bool) else f'"{str(value)[:60]}"'
    bound = next(
        (context[name] for name in ("le", "lt", "ge", "gt", "max_length", "min_length") if name in context), ""
    )
    limit = _figure(bound)
    number = "whole number" if str(kind).startswith("int") else "number"
    if kind in _BOUNDS:
        shown = shown.strip('"')  # a number that came as text
        if shown.strip(" +-").lower() == "nan":  # it is on neither side of a limit
            return f"{shown} is no number", "Give a number."
    count = context.get("actual_length") or 0
    known = {
        "less_than_equal": (f"{shown} is too much, the most is {limit}", f"Give {limit} or less."),
        "less_than": (f"{shown} is too much, it must be less than {limit}", f"Give less than {limit}."),
        "greater_than_equal": (f"{shown} is too little, the least is {limit}", f"Give {limit} or more."),
        "greater_than": (f"{shown} is too little, it must be more than {limit}", f"Give more than {limit}."),
        "finite_number": (f"{shown} is no finite number", "Give a number."),
        "string_too_long": (f"the text has {len(str(value))} characters, the most is {limit}", "Shorten it."),
        "string_too_short": ("the text is empty" if value == "" else "the text is too short", f"Write {limit} or more characters."),
        "string_pattern_mismatch": (f"{shown} cannot stand there", f"Correct it: it must match {context.get('pattern')}"),
        "too_long": (f"there are {count} in it, the most is {limit}", "Correct it: take some out."),
        "too_short": (f"there are {count} in it, the least is {limit}", "Correct it: add some."),
        "literal_error": (f"{shown} is not known", f"Use {context.get('expected', 'another')}."),
        "missing": ("it is missing", "Give it."),
        "union_tag_not_found": ("its kind is missing", "Give its kind."),
    }  # fmt: skip
    if kind in known:
        return known[kind]
    if kind in ("int_parsing", "int_parsing_size", "int_type", "int_from_float", "float_parsing", "float_type"):
        return f"{shown} is no {number}", f"Give a {number}."
    if kind in ("bool_parsing", "bool_type"):
        return f"{shown} is neither true nor false", "Use true or false."
    wanted = _KINDS.get(str(kind))
    if wanted:
        return f"{shown} is not {wanted}", f"Give {wanted}."
    return str(error["msg"]).removeprefix("Value error, "), ""
