"""The address that the app listens on, and who may enter."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from stand_in import StandIn, free_port

from t2v_studio.errors import InputError, UnavailableError
from t2v_studio.settings import Settings
from t2v_studio.ui.app import binding, blocked_paths, credentials, launch_options, prepare_environment, running
from t2v_studio.ui.doorkeeper import Doorkeeper
from t2v_studio.workspace import Workspace


def _settings(**given: object) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[arg-type]


def test_this_machine_alone_by_default():
    bound = binding(_settings(), {})
    assert bound.host == "127.0.0.1" and bound.local and bound.auth is None


@pytest.mark.parametrize(
    "given", [{"host": "0.0.0.0"}, {"host": "0.0.0.0", "hosted": True}, {"host": "::", "auth": "a:b"}]
)
def test_an_open_address_needs_consent_and_a_login(given: dict[str, object]):
    with pytest.raises(InputError):
        binding(_settings(**given), {})


def test_hosted_with_a_login():
    bound = binding(_settings(host="0.0.0.0", hosted=True, auth="ann:pw:1, bob:x"), {})
    assert bound.auth == [("ann", "pw:1"), ("bob", "x")] and not bound.local


@pytest.mark.parametrize("text", ["ann", ":pw", "ann:", "ann:pw,bob"])
def test_a_login_that_cannot_be_read_is_refused(text: str):
    with pytest.raises(InputError):
        credentials(text)


def test_a_space_listens_where_its_platform_needs():
    bound = binding(_settings(), {"SPACE_ID": "me/studio"})
    assert bound.host == "0.0.0.0" and bound.on_space


def test_launch_options_are_shut(settings: Settings, workspace: Workspace):
    prepare_environment(workspace)
    options = launch_options(settings, workspace, binding(settings, {}))
    assert options["allowed_paths"] == [str(workspace.videos), str(workspace.pairs)]
    for name in ("share", "show_error", "enable_monitoring", "ssr_mode", "mcp_server"):
        assert options[name] is False, name
    assert options["footer_links"] == [] and options["max_file_size"] == "200mb"


def test_everything_in_data_but_the_web_cache_is_blocked(workspace: Workspace):
    prepare_environment(workspace)
    (workspace.cache / "pages").mkdir()
    (workspace.data / "notes.txt").write_text("mine")
    blocked = blocked_paths(workspace)
    for path in (
        workspace.database,
        workspace.books.parent,
        workspace.uploads,
        workspace.run,
        workspace.data / "notes.txt",
        workspace.cache / "pages",
    ):
        assert str(path) in blocked
    assert str(workspace.cache / "web") not in blocked and str(workspace.cache) not in blocked


def test_the_doorkeeper_reads_host_and_origin():
    local = Doorkeeper(None, local=True)
    assert local.admits({"host": "localhost:7860"})
    assert local.admits({"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860"})
    assert local.admits({"host": "[::1]:7860"})
    for headers in (
        {"host": "evil.example"},
        {},
        {"host": "127.0.0.1:7860", "origin": "https://evil.example"},
        {"host": "[", "origin": "x"},
    ):
        assert not local.admits(headers)
    hosted = Doorkeeper(None, local=False)
    assert hosted.admits({"host": "studio.example", "origin": "https://studio.example"})
    assert hosted.admits(
        {"host": "10.0.0.1:7860", "x-forwarded-host": "me-studio.hf.space", "origin": "https://me-studio.hf.space"}
    )
    assert not hosted.admits({"host": "studio.example", "origin": "null"})


def test_a_prescribed_proxy_is_not_asked_for_this_machine(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "intranet.example,localhost")
    monkeypatch.delenv("no_proxy", raising=False)
    prepare_environment(workspace)
    prepare_environment(workspace)
    wanted = "intranet.example,localhost,127.0.0.1,::1"
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == wanted, (
        "programs that read only one of them see all hosts"
    )


def test_the_app_starts_behind_a_proxy_that_knows_nothing_of_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    settings = _settings(home=workspace.data.parent, port=free_port())
    with running(settings, StandIn(settings)) as (demo, url):  # type: ignore[arg-type]
        assert url == f"http://127.0.0.1:{settings.port}/"
        assert no_statistics(demo)


def no_statistics(demo: Any) -> bool:
    """Whether the running app leaves out Gradio's percentiles over all past events, worked out after each event."""
    queue = demo._queue
    queue.events_recorded += 1000
    event = {"function": "f", "status": "success", "process_time": 1.0}
    return queue.compute_analytics_summary([event] * 1000) == {"functions": {}}


def test_a_taken_port_is_named_and_nothing_is_left_running(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    stopped = []
    monkeypatch.setattr(StandIn, "stop", lambda self, workers=False: stopped.append(self))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = _settings(home=workspace.data.parent, port=other.getsockname()[1])
        with (
            pytest.raises(UnavailableError, match="T2V_PORT") as caught,
            running(settings, StandIn(settings)),  # type: ignore[arg-type]
        ):
            pytest.fail("an app was served from a taken port")
    assert caught.value.code == "port_taken" and len(stopped) == 1
