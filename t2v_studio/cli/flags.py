"""The flag of a field, and errors in values that name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from t2v_studio.errors import InputError


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
