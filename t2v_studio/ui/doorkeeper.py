"""What Gradio leaves open: foreign origins, rebound host names, and the headers of each answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Gradio's page needs inline script and eval; nothing in it needs another host."""


class Doorkeeper:
    """ASGI middleware. A request of another origin is refused before any handler sees it.

    local: the app listens on this machine alone, so the Host header must be one of its names
           (a page that rebinds its own DNS name to 127.0.0.1 sends its own).
    framed: a Hugging Face Space shows the app inside a frame.
    """

    def __init__(self, app: Any, *, local: bool, framed: bool = False) -> None:
        self.app = app
        self.local = local
        self.framed = framed

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self.admits(headers):
            await _refuse(scope, send)
            return

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self.headers()]}
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def admits(self, headers: dict[str, str]) -> bool:
        """Whether Host and Origin belong to this app."""
        host = headers.get("host", "")
        if self.local and _name(f"//{host}") not in LOCAL_NAMES:
            return False
        origin = headers.get("origin")
        if origin is None:
            return True
        allowed = {host.lower(), headers.get("x-forwarded-host", host).lower()}
        return urlsplit(origin).netloc.lower() in allowed

    def headers(self) -> list[tuple[bytes, bytes]]:
        fixed = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]
        if not self.framed:
            fixed += [(b"x-frame-options", b"SAMEORIGIN"), (b"content-security-policy", POLICY.encode())]
        return fixed


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


async def _refuse(scope: dict[str, Any], send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send(
        {"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain; charset=utf-8")]}
    )
    await send({"type": "http.response.body", "body": b"This address serves its own page only."})
