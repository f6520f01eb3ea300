"""A chat model behind an address that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from t2v_studio.errors import InputError, StudioError

TIMEOUT_S = 60.0
TRIES = 3
ANSWER_TOKENS = 200
_LOCAL = ("localhost", "127.0.0.1", "::1")


def chat_endpoint(url: str, model: str, key: str) -> Callable[[list[dict[str, str]]], str]:
    """Asks `url`/chat/completions at temperature 0.1. The key travels over https, or to this machine, alone.

    Raises InputError for an address that cannot be used; the function raises StudioError where no answer comes.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError("bad_url", "T2V_CAPTION_URL: it is no http address.", "Write https://host/v1.")
    if key and parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise InputError(
            "open_key", "T2V_CAPTION_URL: a key would travel in the open.", "Use https, or unset T2V_CAPTION_KEY."
        )
    if not model:
        raise InputError("no_caption_model", "T2V_CAPTION_MODEL is not set.", "Set it to the model's name there.")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return lambda messages: _ask(url.rstrip("/") + "/chat/completions", model, headers, messages)


def _ask(url: str, model: str, headers: dict[str, str], messages: list[dict[str, str]]) -> str:
    import httpx

    body = {"model": model, "messages": messages, "temperature": 0.1, "max_tokens": ANSWER_TOKENS}
    reason = ""
    for _ in range(TRIES):
        try:
            answer = httpx.post(url, json=body, headers=headers, timeout=TIMEOUT_S)
        except httpx.HTTPError as error:
            reason = f"it cannot be reached ({type(error).__name__})"
            continue
        if answer.status_code in (401, 403):
            raise StudioError("caption_refused", "The caption endpoint refuses the key.", "Check T2V_CAPTION_KEY.")
        if answer.status_code == 200:
            return _content(answer)
        reason = f"it answers {answer.status_code}"
        if answer.status_code != 429 and answer.status_code < 500:
            break
    raise StudioError("caption_failed", f"The caption endpoint gives no answer: {reason}.", "Check T2V_CAPTION_URL.")


def _content(answer: Any) -> str:
    try:
        return str(answer.json()["choices"][0]["message"]["content"] or "")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise StudioError("caption_failed", "The caption endpoint answers in another form.") from error
