"""The flag of a field, and errors in values that name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError

from t2v_studio.errors import InputError, unknown_name, wrong_fields

_SEE_HELP = "See the flags with --help."


def flag(name: str) -> str:
    """The flag of a field."""
    return "--book" if name == "book_ids" else f"--{name.replace('_', '-')}"


@contextmanager
def naming_flags(given: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> Iterator[None]:
    """Where a value that was given is refused, the error names its flag.

    given: fields with what the flags say, None where one was not given. sources: names for fields that came otherwise.
    """
    try:
        yield
    except InputError as error:
        field = str(error.details.get("field", ""))
        if given.get(field) is None:
            raise
        said = (sources or {}).get(field) or flag(field)
        raise InputError(error.code, f"{said}: {error.message.rpartition(f'{field}: ')[2]}", error.hint) from error


def misread(error: typer.TyperException) -> InputError:
    """What the command line could not make sense of; a value that is no number or no choice in the studio's own words."""
    param, cause = getattr(error, "param", None), error.__cause__
    if param is None or not isinstance(cause, ValidationError):
        return InputError("usage", error.format_message(), _SEE_HELP)
    name = param.get_error_hint().partition(" ")[0].strip("'")
    context = getattr(error, "ctx", None)
    source = context.get_parameter_source(param.name) if context else None
    if source is not None and source.name == "ENVIRONMENT":
        name = f"T2V_{param.name.upper()}"
    first = cause.errors(include_url=False)[0]
    value, choice, known = str(first["msg"]).removeprefix("Value error, ").partition(" is not one of ")
    if choice:
        return unknown_name(name, value.strip("'\""), [one.strip(" '.") for one in known.split(",")])
    return wrong_fields("usage", cause, name, hint=_SEE_HELP)
