"""The errors that a person sees: what happened, and what to do about it."""

from __future__ import annotations

from typing import Any


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


def unknown_name(field: str, name: str, known: list[str]) -> InputError:
    """The error for a name that is not in a closed list, with the nearest one that is."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f'Did you mean "{near[0]}"?' if near else f"Use one of: {', '.join(sorted(known))}."
    return InputError("unknown_name", f'{field}: "{name}" is not known.', hint)
