"""Everything that an examiner gets, searched for what would tell the arms apart; and what the cookie does not open."""

from __future__ import annotations

import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ui"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "studies"))

from pairs_on_disk import SECRET, make_pair_on_disk
from stand_in import StandIn, free_port

from t2v_studio.settings import Settings
from t2v_studio.ui.examiner.routes import byte_range
from t2v_studio.video.decode import probe
from t2v_studio.video.ffmpeg import find_ffmpeg

AUTH = "author:a-long-password"
TOPICS = ("Gradient descent", "Bias and variance", "Backpropagation")
LIBRARY = ("/assets/", "/static/", "/theme.css")
"""Gradio's own files, the same for everybody."""
ARM_WORDS = re.compile(r"\b(no[_-]?rag|rag[_-]semantic|rag|retriev\w+|treated|grounding)\b", re.IGNORECASE)


@dataclass
class Served:
    url: str
    studio: StandIn
    study: str
    tokens: list[str]
    secrets: list[str]
    seen: list[httpx.Response] = field(default_factory=list)

    def browser(self, token: str = "") -> httpx.Client:
        """A client that keeps cookies and every answer; signed in where a token is given."""
        web = httpx.Client(
            base_url=self.url,
            timeout=30,
            event_hooks={"response": [self._keep]},
            headers={"accept-encoding": "identity"},
        )
        if token:
            web.cookies.set("t2v_rate", token)
        return web

    def _keep(self, answer: httpx.Response) -> None:
        answer.read()
        self.seen.append(answer)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A hosted studio with a login, and a locked study of three pairs."""
    from t2v_studio.ui.app import running

    home = tmp_path_factory.mktemp("blind")
    settings = Settings(home=home, port=free_port(), hosted=True, auth=AUTH, _env_file=None)
    studio = StandIn(settings)
    pairs = [make_pair_on_disk(studio.workspace, topic) for topic in TOPICS]
    study = studio.studies.create("Explainer videos", pairs, seed=4)["id"]
    studio.studies.lock(study, raters=2)
    tokens = [studio.studies.invite(study)["token"] for _ in range(2)]
    with running(settings, studio) as (_, url):  # type: ignore[arg-type]
        found = [SECRET, str(home), str(Path(__file__).resolve().parents[2]), *pairs, study]
        found += [path.name for path in studio.workspace.videos.iterdir()]
        found += [path.stem for path in (studio.workspace.study(study) / "media").iterdir()]
        yield Served(url.rstrip("/"), studio, study, tokens, found)


def answered(web: httpx.Client, screen: dict[str, Any]) -> None:
    """Score a screen as the page does."""
    base = {"assignment": screen["assignment"], "based_on": 0}
    events = [
        {**base, "uuid": str(uuid4()), "kind": "score", "side": side, "criterion": row["key"], "value": 4}
        for side in ("left", "right")
        for row in screen["rubric"]["criteria"]
    ]
    events.append({**base, "uuid": str(uuid4()), "kind": "preference", "winner": "tie", "confidence": 1})
    events += [
        {
            **base,
            "uuid": str(uuid4()),
            "kind": "exposure",
            "side": side,
            "seconds": 1.0,
            "plays": 1,
            "reached_end": True,
        }
        for side in ("left", "right")
    ]
    for event in events[-2:]:
        event["based_on"] = None
    assert web.post("/rate/api/events", json={"events": events}).json()["conflicts"] == []
    assert web.post("/rate/api/submit", json={"assignment": screen["assignment"]}).status_code == 200


def page_files(web: httpx.Client) -> set[str]:
    """What the page's markup names, as far as it is ours to serve."""
    html = web.get("/rate/").text
    named = set(re.findall(r"""(?:src|href)=["']([^"'#]+)["']""", html))
    return {name for name in named if not name.startswith(("http", "data:"))}


def test_no_answer_to_an_examiner_tells_an_arm(served: Served, tmp_path: Path):
    web = served.browser()
    web.get("/rate/")
    web.get("/rate/", params={"token": "wrong"})
    assert web.get("/rate/", params={"token": served.tokens[0]}).status_code == 200 and "t2v_rate" in web.cookies
    for name in page_files(web):
        web.get(httpx.URL(f"{served.url}/rate/").join(name))
    for path in ("/config", "/theme.css", "/gradio_api/info", "/gradio_api/startup-events", "/gradio_api/app_id"):
        web.get(f"/rate{path}")
    web.post("/rate/api/consent", json={})
    me = web.get("/rate/api/me").json()
    media = []
    for position in range(me["screens"]):
        screen = web.get(f"/rate/api/screens/{position}").json()
        for side in ("left", "right"):
            media.append(web.get(f"/rate/media/{screen[side]['token']}.mp4"))
            web.get(f"/rate/media/{screen[side]['token']}.mp4", headers={"range": "bytes=0-99"})
        web.post("/rate/api/events", json={"events": [{"uuid": "not one", "kind": "score"}]})
        answered(web, screen)
    web.get("/rate/api/questions")
    web.post("/rate/api/finish", json={})
    for wrong in ("screens/99", "screens/x", "nothing"):
        web.get(f"/rate/api/{wrong}")
    web.get(f"/rate/media/{'0' * 32}.mp4")
    assert len(served.seen) > 40

    for answer in served.seen:
        place, text = answer.request.url.path, answer.text + json.dumps(dict(answer.headers))
        for secret in served.secrets:
            assert secret not in text and secret.encode() not in answer.content, (place, secret)
        if not any(part in place for part in LIBRARY):
            found = ARM_WORDS.search(text) if "video" not in answer.headers.get("content-type", "") else None
            assert found is None, (place, found)
    assert all(answer.status_code == 200 for answer in media) and len({answer.content for answer in media}) == 2 * len(
        TOPICS
    )
    _media_tells_nothing(media, tmp_path)


def _media_tells_nothing(media: list[httpx.Response], folder: Path) -> None:
    """Alike in every header but the length, in container, tags and frame count."""
    shapes, heads = set(), set()
    for number, answer in enumerate(media):
        heads.add(json.dumps({k: v for k, v in answer.headers.items() if k not in ("content-length", "date")}))
        for name in ("etag", "last-modified"):
            assert name not in answer.headers
        assert "filename" not in answer.headers.get("content-disposition", "")
        path = folder / f"{number}.mp4"
        path.write_bytes(answer.content)
        told = subprocess.run(
            [find_ffmpeg(), "-hide_banner", "-nostdin", "-i", str(path), "-f", "ffmetadata", "-"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert not ARM_WORDS.search(told.stderr.replace(str(path), "") + told.stdout)
        found = probe(path)
        shapes.add(
            (found.width, found.height, found.frames, found.codec, str(found.tags), str(found.chapters), told.stdout)
        )
    assert len(heads) == 1
    assert len(shapes) == 1, shapes


def test_the_token_is_taken_for_a_strict_cookie_and_leaves_the_address(served: Served):
    answer = httpx.get(f"{served.url}/rate/", params={"token": served.tokens[1]})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/rate" in cookie
    assert served.tokens[1] not in answer.text and "url=./" in answer.text
    secure = httpx.get(
        f"{served.url}/rate/", params={"token": served.tokens[1]}, headers={"x-forwarded-proto": "https"}
    )
    assert "secure" in secure.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["wrong", "x" * 5000, "' OR 1=1 --", "../../etc"])
def test_an_unknown_token_gets_no_cookie(served: Served, token: str):
    asked = httpx.get(f"{served.url}/rate/", params={"token": token})
    form = httpx.post(f"{served.url}/rate/enter", data={"token": token})
    assert asked.status_code == 403 and "set-cookie" not in asked.headers
    assert form.status_code in (403, 422) and "set-cookie" not in form.headers


def test_a_whole_link_may_be_pasted_into_the_form(served: Served):
    form = httpx.post(f"{served.url}/rate/enter", data={"token": f" {served.url}/rate/?token={served.tokens[1]} "})
    assert "set-cookie" in form.headers


@pytest.mark.parametrize(
    "path",
    ["/rate/api/me", "/rate/api/screens/0", "/rate/api/questions", "/rate/media/" + "0" * 32 + ".mp4"],
)
def test_nothing_is_answered_without_a_cookie(served: Served, path: str):
    assert httpx.get(f"{served.url}{path}").status_code == 401


@pytest.mark.parametrize(
    "path", ["/rate/config", "/rate/theme.css", "/rate/gradio_api/info", "/rate/docs", "/rate/openapi.json"]
)
def test_the_page_behind_the_door_stays_behind_it(served: Served, path: str):
    assert httpx.get(f"{served.url}{path}").status_code == 404
    assert "invitation" in httpx.get(f"{served.url}/rate/").text.lower()


AUTHOR = [
    "/config", "/gradio_api/info", "/gradio_api/file={videos}/open.txt", "/gradio_api/queue/data?session_hash=x",
    "/rate/../config", "/rate/%2e%2e/config", "/rate//config", "/rate/gradio_api/file={database}", "/rate/gradio_api/queue/data?session_hash=x",
    "/rate/file={database}", "/rate/gradio_api/info", "/rate/monitoring", "/rate/gradio_api/heartbeat/x", "/rate/assets/../../../studio.db",
]  # fmt: skip


@pytest.mark.parametrize("path", AUTHOR)
def test_the_cookie_opens_nothing_of_the_author(served: Served, path: str):
    web = served.browser(served.tokens[1])
    workspace = served.studio.workspace
    cookie = f"t2v_rate={served.tokens[1]}"
    wanted = path.format(videos=workspace.videos, database=workspace.database)
    with socket.create_connection(("127.0.0.1", httpx.URL(served.url).port), timeout=20) as line:
        # A raw request: a client would tidy the dots away.
        host = httpx.URL(served.url).netloc.decode()
        line.sendall(f"GET {wanted} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    status = int(answer.split(b" ", 2)[1])
    assert status in (401, 403, 404, 405), (wanted, status)
    assert b"SQLite" not in answer and b'"components"' not in answer
    web.close()


@pytest.mark.parametrize(
    "path",
    [
        "/rate/gradio_api/queue/join",
        "/rate/gradio_api/upload",
        "/rate/gradio_api/run/x",
        "/rate/login",
        "/gradio_api/upload",
        "/gradio_api/queue/join",
    ],
)
def test_the_cookie_posts_nothing_to_gradio(served: Served, path: str):
    with served.browser(served.tokens[1]) as web:
        assert web.post(path, json={}).status_code in (401, 403, 404, 405)


def test_one_examiner_cannot_see_or_score_for_another(served: Served):
    with served.browser(served.tokens[0]) as one, served.browser(served.tokens[1]) as two:
        two.post("/rate/api/consent", json={})
        hers, his = one.get("/rate/api/screens/0").json(), two.get("/rate/api/screens/0").json()
        assert hers["left"]["token"] != his["left"]["token"]
        assert two.get(f"/rate/media/{hers['left']['token']}.mp4").status_code == 404
        event = {
            "uuid": str(uuid4()),
            "kind": "comment",
            "side": "left",
            "comment": "mine",
            "assignment": hers["assignment"],
        }
        assert two.post("/rate/api/events", json={"events": [event]}).status_code == 404
        assert two.post("/rate/api/submit", json={"assignment": hers["assignment"]}).status_code == 404


def test_a_foreign_page_cannot_write(served: Served):
    with served.browser(served.tokens[1]) as web:
        assert web.post("/rate/api/consent", json={}, headers={"origin": "https://evil.example"}).status_code == 403
        assert web.post("/rate/api/events", content="{}", headers={"content-type": "text/plain"}).status_code == 422
        assert web.post("/rate/api/events", content=b"x" * 1_200_000).status_code == 413


def test_a_new_link_ends_the_old_one(served: Served):
    with served.browser(served.tokens[1]) as web:
        assert web.get("/rate/api/me").status_code == 200
        fresh = served.studio.studies.invite_again(served.study, "Examiner 2")["token"]
        assert web.get("/rate/api/me").status_code == 401
        served.tokens[1] = fresh


@pytest.mark.parametrize(
    ("header", "span"),
    [("", None), ("bytes=0-", (0, 9)), ("bytes=2-4", (2, 4)), ("bytes=-3", (7, 9)), ("bytes=-30", (0, 9)), ("bytes=5-2", None),
     ("bytes=20-", (20, 9)), ("bytes=0-1,3-4", None), ("items=0-1", None), ("bytes=-0", (10, 10))],
)  # fmt: skip
def test_a_range_is_read_as_written(header: str, span: tuple[int, int] | None):
    assert byte_range(header, 10) == span


def test_ranges_put_together_are_the_video(served: Served):
    with served.browser(served.tokens[0]) as web:
        token = web.get("/rate/api/screens/0").json()["left"]["token"]
        whole = web.get(f"/rate/media/{token}.mp4").content
        cuts = [0, 100, len(whole) // 2, len(whole)]
        parts = [
            web.get(f"/rate/media/{token}.mp4", headers={"range": f"bytes={a}-{b - 1}"})
            for a, b in itertools.pairwise(cuts)
        ]
        assert b"".join(part.content for part in parts) == whole and {part.status_code for part in parts} == {206}
        assert web.get(f"/rate/media/{token}.mp4", headers={"range": f"bytes={len(whole)}-"}).status_code == 416


def test_a_cited_step_looks_like_any_other_when_sources_are_off():
    from t2v_studio.engines.local.composition import compose
    from t2v_studio.engines.local.kinds.base import Moment
    from t2v_studio.engines.local.samples import sample_plans

    for plan in sample_plans().values():
        cited = plan.scenes[0]
        assert cited.steps[1].cites
        bare = cited.model_copy(update={"steps": [step.model_copy(update={"cites": []}) for step in cited.steps]})
        frames = {}
        for name, scene, shown in (("cited", cited, False), ("bare", bare, False), ("open", cited, True)):
            one = plan.model_copy(update={"scenes": [scene]})
            drawn = compose(one, 0, width=832, height=480, theme="light", show_sources=shown)
            frames[name] = drawn.items(Moment(step=1, progress=0.5, overall=0.5), 2.0)
        assert frames["cited"] == frames["bare"] != frames["open"]
