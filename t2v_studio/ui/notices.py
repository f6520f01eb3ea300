"""Errors as the page shows them: message and hint in a toast, the traceback in the log, the form untouched."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from t2v_studio.errors import StudioError
from t2v_studio.ui import markup
from t2v_studio.ui.wording import on_page

log = logging.getLogger(__name__)


def warn(error: StudioError) -> None:
    """A toast with what happened and what to do."""
    hint = f"<br>{markup.text(on_page(error.hint))}" if error.hint else ""
    gr.Warning(f"{markup.text(on_page(error.message))}{hint}", title="That did not work", duration=12)


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler` that never raises into the page: outputs stay as they are and a toast says why."""

    @functools.wraps(handler)
    def safe(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except StudioError as error:
            log.info("%s: %s", error.code, error.message)
            warn(error)
        except Exception:
            log.exception("a handler of the page failed: %s", handler.__qualname__)
            gr.Warning(
                "The studio met an error of its own. Nothing you entered is lost.<br>"
                "Try again; if it happens again, the log of the app says why.",
                title="That did not work",
                duration=12,
            )
        return gr.skip()

    return safe
