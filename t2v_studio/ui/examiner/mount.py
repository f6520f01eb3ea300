"""Where the examiners' app stands on the author's server, and who may enter it."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from t2v_studio.errors import StudioError
from t2v_studio.studio import Studio

if TYPE_CHECKING:
    from fastapi import FastAPI

PATH = "/rate"
COOKIE, COOKIE_AGE_S = "t2v_rate", 60 * 86400
BODY_MAX = 1_000_000
WEB = Path(__file__).with_name("web")
OWN = ("/api/", "/media/", "/enter")
"""Paths whose routes look at the cookie themselves."""
PAGE = ("/config", "/theme.css", "/assets/", "/static/")
"""All that the browser needs of Gradio: files to read. There is no event, upload, queue or file route."""


class Fork:
    """ASGI middleware: requests under /rate go to the examiners' app, all others on to the author's."""

    def __init__(self, app: Any, *, web: Any) -> None:
        self.app = app
        self.web = web

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        ours = scope["type"] in ("http", "websocket") and (path == PATH or path.startswith(f"{PATH}/"))
        await (self.web if ours else self.app)(scope, receive, send)


class Gate:
    """ASGI middleware of the examiners' app: a short list of paths, and nothing of it without an invitation."""

    def __init__(self, app: Any, *, studio: Studio) -> None:
        self.app = app
        self.studio = studio

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = await self._answer(scope)
        await (answer or self.app)(scope, _limited(receive), send)

    async def _answer(self, scope: dict[str, Any]) -> Any:
        """What is said instead of going in; None lets the request in."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import PlainTextResponse, RedirectResponse

        path, query = scope["path"][len(PATH) :], scope["query_string"].decode("latin-1")
        if _length(scope) > BODY_MAX:
            return PlainTextResponse("Too large.", 413)
        if path.startswith(OWN):
            return None
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("Not found.", 404)
        if path == "":
            return RedirectResponse(f"{PATH.lstrip('/')}/" + (f"?{query}" if query else ""), 307)
        if path == "/":
            token = parse_qs(query).get("token", [""])[0]
            if token:
                return await run_in_threadpool(admit, self.studio, token, scope)
            return None if await run_in_threadpool(self._known, scope) else door()
        if path.startswith(PAGE) and await run_in_threadpool(self._known, scope):
            return None
        return PlainTextResponse("Not found.", 404)

    def _known(self, scope: dict[str, Any]) -> bool:
        return rater_of(self.studio, cookie_token(scope)) is not None


def rater_of(studio: Studio, token: str) -> str | None:
    """The rater behind a token (compared in constant time), or None."""
    if not token or len(token) > 200:
        return None
    try:
        return studio.studies.rater(token)
    except StudioError:
        return None


def cookie_token(scope: Any) -> str:
    """The token in a request's cookie; empty where there is none."""
    for name, value in scope["headers"]:
        if name.lower() == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                return ""
            if found is not None:
                return found.value
    return ""


def admit(studio: Studio, token: str, scope: Any) -> Any:
    """Take a token for a cookie and go on to the clean address.

    The way on is a page of ours and no redirect: a browser that comes from another site (a link in a web mail)
    sends no Strict cookie along a redirect, but does so from our own page.
    """
    if rater_of(studio, token) is None:
        return door("This invitation is not known. Open the whole link that you were sent, or ask for a new one.", 403)
    answer = _page("onward.html")
    secure = scope["scheme"] == "https" or _header(scope, b"x-forwarded-proto") == "https"
    answer.set_cookie(COOKIE, token, max_age=COOKIE_AGE_S, path=PATH, httponly=True, samesite="strict", secure=secure)
    return answer


def leave() -> Any:
    """Sign out of this browser."""
    answer = door("You are signed out. All your answers are kept.")
    answer.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
    return answer


def door(message: str = "", status: int = 200) -> Any:
    """The login form."""
    return _page("door.html", status, message=message)


def _page(name: str, status: int = 200, message: str = "") -> Any:
    from html import escape

    from starlette.responses import HTMLResponse

    text = (WEB / name).read_text(encoding="utf-8").replace("<!--message-->", escape(message))
    return HTMLResponse(text, status, {"cache-control": "no-store", "referrer-policy": "no-referrer"})


def _header(scope: Any, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")


def _length(scope: Any) -> int:
    text = _header(scope, b"content-length")
    return int(text) if text.isdigit() else 0


def _limited(receive: Any) -> Any:
    """`receive` that ends a body without a length header once it grows too large."""
    seen = 0

    async def counted() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= BODY_MAX else {"type": "http.disconnect"}

    return counted


def examiner_app(studio: Studio) -> FastAPI:
    """The app for `Fork`."""
    import gradio as gr
    from fastapi import FastAPI

    from t2v_studio.ui.examiner import page, routes
    from t2v_studio.ui.theme import theme

    web = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    routes.add(web, studio)
    gr.mount_gradio_app(
        web,
        page.build(),
        PATH,
        theme=theme(),
        css_paths=[str(WEB / "page.css")],
        allowed_paths=[],
        blocked_paths=[str(studio.workspace.data), str(studio.workspace.outputs)],
        footer_links=[],
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
    )
    web.add_middleware(Gate, studio=studio)
    return web
