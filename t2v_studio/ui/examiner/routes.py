"""What the examiner's page asks for and writes, as JSON; and the videos. The cookie says who asks."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from t2v_studio.errors import ConflictError, InputError, LimitError, NotFoundError, StudioError
from t2v_studio.studio import Studio
from t2v_studio.ui.examiner.mount import PATH, admit, cookie_token, leave, rater_of

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[StudioError], int], ...] = (
    (InputError, 422), (NotFoundError, 404), (ConflictError, 409), (LimitError, 429),
)  # fmt: skip
TOLD = ("open", "uuid")
"""Details of an error that an examiner may see."""
PART_BYTES = 4 * 1024 * 1024
_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
KEPT_PRIVATE = {"cache-control": "private, no-store", "vary": "cookie"}


class Events(BaseModel):
    events: list[dict[str, Any]] = Field(max_length=500)


class Screen(BaseModel):
    assignment: str = Field(max_length=60)


class SignedOut(Exception):
    """No cookie, or one whose invitation has ended."""


def add(web: FastAPI, studio: Studio) -> None:
    """Put the routes and the form of errors on `web`."""
    web.exception_handler(SignedOut)(_signed_out)
    web.exception_handler(StudioError)(_told)
    web.exception_handler(Exception)(_own_fault)

    def whose(request: Request) -> str:
        rater = rater_of(studio, cookie_token(request.scope))
        if rater is None:
            raise SignedOut
        return rater

    asking = Depends(whose)
    desk = studio.studies

    @web.post(f"{PATH}/enter")
    def enter(request: Request, token: Annotated[str, Form(max_length=400)]) -> Any:
        return admit(studio, _token_in(token), request.scope)

    @web.post(f"{PATH}/api/leave")
    def sign_out() -> Any:
        return leave()

    @web.get(f"{PATH}/api/me")
    def me(request: Request, rater: str = asking) -> Any:
        return _json(desk.enter(cookie_token(request.scope)))

    @web.post(f"{PATH}/api/consent")
    def consent(rater: str = asking) -> Any:
        return _json(desk.consent(rater))

    @web.get(f"{PATH}/api/screens/{{position}}")
    def screen(position: int, rater: str = asking) -> Any:
        return _json(desk.screen(rater, position))

    @web.post(f"{PATH}/api/events")
    def events(body: Events, rater: str = asking) -> Any:
        return _json(desk.save(rater, body.events))

    @web.post(f"{PATH}/api/submit")
    def submit(body: Screen, rater: str = asking) -> Any:
        return _json(desk.submit(rater, body.assignment))

    @web.get(f"{PATH}/api/questions")
    def questions(rater: str = asking) -> Any:
        return _json(desk.last_questions(rater))

    @web.post(f"{PATH}/api/finish")
    def finish(rater: str = asking) -> Any:
        return _json(desk.finish(rater))

    @web.api_route(f"{PATH}/media/{{token}}.mp4", methods=["GET", "HEAD"])
    def media(token: str, request: Request, rater: str = asking) -> Response:
        return video(desk.media(rater, token), request.headers.get("range", ""))


def video(path: Path, wanted: str) -> Response:
    """A video or one range of it. The headers say its length and nothing else: no name, no time, no tag."""
    size = path.stat().st_size
    headers = {**KEPT_PRIVATE, "accept-ranges": "bytes", "content-disposition": "inline"}
    span = byte_range(wanted, size)
    if span is None:
        return Response(path.read_bytes(), 200, headers, "video/mp4")
    first, last = span
    if first >= size:
        return Response(b"", 416, headers | {"content-range": f"bytes */{size}"}, "video/mp4")
    last = min(last, size - 1, first + PART_BYTES - 1)
    with path.open("rb") as file:
        file.seek(first)
        part = file.read(last - first + 1)
    return Response(part, 206, headers | {"content-range": f"bytes {first}-{last}/{size}"}, "video/mp4")


def byte_range(wanted: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a Range header with one range; None for none, or one that cannot be read (RFC 9110)."""
    found = _RANGE.match(wanted.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) else (size, size)
    if last and int(last) < int(first):
        return None
    return int(first), int(last) if last else size - 1


def _token_in(text: str) -> str:
    """The token of a whole link that somebody pasted, or the text itself."""
    return text.strip().rpartition("token=")[2].partition("&")[0]


def _json(data: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(data, status, KEPT_PRIVATE)


async def _signed_out(request: Request, error: Exception) -> JSONResponse:
    hint = "Open your link again. Answers that were not sent yet are kept in this browser."
    return _json({"code": "signed_out", "message": "You are signed out.", "hint": hint}, 401)


async def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StudioError)
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 503)
    told = {name: error.details[name] for name in TOLD if name in error.details}
    return _json({"code": error.code, "message": error.message, "hint": error.hint, **told}, status)


async def _own_fault(request: Request, error: Exception) -> JSONResponse:
    log.error("a request of an examiner failed: %s", request.url.path, exc_info=error)
    return _json(
        {"code": "failed", "message": "The server met an error.", "hint": "Your answers are kept. Try again."}, 500
    )
