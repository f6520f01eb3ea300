"""Which files the running page gives out, and to whom it answers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import httpx
import pytest
from conftest import SECRET, Served

REFUSED = (403, 404)


def test_only_the_folders_of_videos_are_open(served: Served):
    assert served.file(served.studio.workspace.videos / "open.txt").text == "open"


@pytest.mark.parametrize(
    "path",
    [
        "{data}/studio.db", "{data}/STUDIO.DB", "{data}/library/books/0123456789abcdef/book.txt", "{data}/run/job.log", "{data}/.hidden",
        "{home}/.env", "{outputs}/studies/scores.json", "{outputs}/videos/../../data/studio.db", "{outputs}/videos/%2e%2e/%2e%2e/data/studio.db",
        "/etc/passwd", "../../../../etc/passwd", "data/studio.db", "./.env", "tests/conftest.py", "{repo}/pyproject.toml", "{repo}/.git/config",
        "http://127.0.0.1:1/x", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_other_paths_are_refused(served: Served, path: str):
    workspace = served.studio.workspace
    repo = Path(__file__).resolve().parents[2]
    named = path.format(data=workspace.data, outputs=workspace.outputs, home=workspace.data.parent, repo=repo)
    answer = served.file(named)
    assert answer.status_code in REFUSED and SECRET not in answer.text and "root:" not in answer.text


def test_hostile_text_in_every_listener_gives_out_nothing(served: Served):
    """Private listeners can be called by anyone who is let in: none may turn text into a file."""
    config = served.web.get(f"{served.url}config").json()
    workspace = served.studio.workspace
    hostile = str(workspace.database)
    file_value = {"path": hostile, "meta": {"_type": "gradio.FileData"}, "orig_name": "book.pdf"}
    called = 0
    for dependency in config["dependencies"]:
        for value in (
            hostile,
            file_value,
            [file_value],
            {"kind": "video", "id": "../../data"},
            {"act": "open", "what": "book", "id": hostile},
        ):
            body = {
                "fn_index": dependency["id"], "session_hash": "h", "data": [value] * len(dependency["inputs"]),
                "event_data": {"act": "sample2", "book": hostile, "passage": hostile, "job": hostile, "id": hostile, "source": hostile, "index": 0},
            }  # fmt: skip
            answer = served.web.post(f"{served.url}gradio_api/run/predict", json=body)
            called += answer.status_code == 200
            assert SECRET not in answer.text, dependency["id"]
    assert called > 0, "some listener must have answered, or this test shows nothing"
    cached = [path for path in workspace.cache.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert cached == []


def _through_the_queue(served: Served, body: dict[str, object]) -> str:
    """What the page's own way of calling gives back: join the queue, read the stream until it closes."""
    session = body["session_hash"]
    joined = served.web.post(f"{served.url}gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return joined.text
    heard = ""
    with served.web.stream("GET", f"{served.url}gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            heard += line
            if "process_completed" in line or "close_stream" in line:
                break
    return heard


def test_hostile_text_through_the_queue_gives_out_nothing(served: Served):
    config = served.web.get(f"{served.url}config").json()
    hostile = str(served.studio.workspace.database)
    file_value = {"path": hostile, "meta": {"_type": "gradio.FileData"}, "orig_name": "book.pdf"}
    event = {
        "act": "passage",
        "book": hostile,
        "passage": hostile,
        "job": hostile,
        "id": hostile,
        "source": hostile,
        "index": 0,
    }
    completed = 0
    for dependency in config["dependencies"]:
        if not dependency["backend_fn"]:
            continue
        for number, value in enumerate((hostile, [file_value], {"kind": "video", "id": hostile})):
            body = {
                "fn_index": dependency["id"], "session_hash": f"hostile{dependency['id']}x{number}", "event_data": event,
                "data": [value] * len(dependency["inputs"]), "trigger_id": None,
            }  # fmt: skip
            heard = _through_the_queue(served, body)
            completed += "process_completed" in heard
            assert SECRET not in heard, (dependency["id"], number)
    assert completed > 0, "some listener must have answered, or this test shows nothing"
    web = served.studio.workspace.cache / "web"
    assert [path for path in web.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []


def test_an_uploaded_page_is_not_run_by_the_browser(served: Served):
    for name, kind in (("x.html", "text/html"), ("x.svg", "image/svg+xml")):
        files = {"files": (name, b"<script>alert(1)</script>", kind)}
        sent = served.web.post(f"{served.url}gradio_api/upload", files=files)
        if sent.status_code != 200:
            continue
        answer = served.file(sent.json()[0])
        assert answer.headers.get("content-disposition", "").startswith("attachment"), name
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_upload_beyond_the_limit_is_refused(served: Served):
    files = {"files": ("big.pdf", b"%PDF-" + b"0" * 2_000_000, "application/pdf")}
    assert served.web.post(f"{served.url}gradio_api/upload", files=files).status_code == 413


def test_foreign_origins_and_rebound_names_are_refused(served: Served):
    host = httpx.URL(served.url).netloc.decode()
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"origin": "http://127.0.0.1:1"},
    ):
        for path in ("", "config", "gradio_api/queue/join"):
            assert served.web.post(f"{served.url}{path}", headers=headers, json={}).status_code == 403, (headers, path)
    assert served.web.get(f"{served.url}config", headers={"origin": f"http://{host}"}).status_code == 200


def test_monitoring_and_tools_are_off(served: Served):
    for path in ("monitoring", "monitoring/summary", "gradio_api/mcp/sse", "gradio_api/mcp/"):
        answer = served.web.get(f"{served.url}{path}")
        assert answer.status_code >= 400 or "not enabled" in answer.text.lower(), path


def test_the_page_names_no_other_host_to_load_from(served: Served):
    answer = served.web.get(served.url)
    loaded = re.findall(r"<(?:script|link|img|iframe|source)[^>]+(?:src|href)=[\"']?(https?://[^\"' >]+)", answer.text)
    own = str(httpx.URL(served.url).host)
    assert [url for url in loaded if own not in url] == []
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_the_cache_lies_in_the_workspace(served: Served):
    assert Path(os.environ["GRADIO_TEMP_DIR"]).is_relative_to(served.studio.workspace.data)


def test_config_gives_away_no_environment(served: Served):
    config = json.dumps(served.web.get(f"{served.url}config").json())
    assert SECRET not in config and "T2V_AUTH" not in config
