"""One function starts the web app, for `python app.py`, `t2v serve` and a Hugging Face Space."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import InputError, UnavailableError
from t2v_studio.settings import Settings
from t2v_studio.studio import Studio
from t2v_studio.ui.lean_import import without_stubs
from t2v_studio.workspace import REPOSITORY, Workspace

if TYPE_CHECKING:
    import gradio as gr

log = logging.getLogger(__name__)

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
UPLOADS = "GRADIO_TEMP_DIR"
NO_STATISTICS = {"GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**12), "GRADIO_ANALYTICS_MAX_EVENTS": "1"}
"""Gradio 6.31 works out percentiles over its last 10,000 events after every event, for a page that is switched off
here: 85 % of the server's time, and more with every hour that the app runs."""
CACHE_CHECK_S, CACHE_AGE_S = 3600, 86400
UNSERVED = ("t2v_studio", "training", "tests", "docs", "app.py", "requirements.txt", "pyproject.toml", "Makefile")


@dataclass(frozen=True)
class Binding:
    """Where the app listens and who may enter."""

    host: str
    auth: list[tuple[str, str]] | None
    on_space: bool = False

    @property
    def local(self) -> bool:
        return self.host in LOCAL_HOSTS


def binding(settings: Settings, environment: dict[str, str] | None = None) -> Binding:
    """This machine alone, unless T2V_HOSTED=1 comes with T2V_AUTH, or a Space's own gate stands before us.

    Raises InputError for an open address without a login.
    """
    env = os.environ if environment is None else environment
    auth = credentials(settings.auth)
    if env.get("SPACE_ID"):
        return Binding("0.0.0.0", auth, on_space=True)
    if settings.host in LOCAL_HOSTS:
        return Binding(settings.host, auth)
    if not settings.hosted:
        raise InputError(
            "host_not_local",
            f"T2V_HOST: {settings.host} would open the studio to other machines.",
            "Set T2V_HOSTED=1 and T2V_AUTH=user:password, or leave T2V_HOST unset.",
        )
    if auth is None:
        raise InputError(
            "auth_missing",
            "T2V_AUTH: a hosted studio needs at least one user and password.",
            "Set T2V_AUTH=user:password, several separated by commas.",
        )
    return Binding(settings.host, auth)


def credentials(text: str) -> list[tuple[str, str]] | None:
    """`user:password,user:password` as pairs; None for an empty text. Raises InputError for anything else."""
    pairs = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    if any(not user or not colon or not password for user, colon, password in pairs):
        raise InputError("bad_auth", "T2V_AUTH: cannot be read.", "Write user:password, several separated by commas.")
    return [(user, password) for user, _, password in pairs] or None


def prepare_environment(workspace: Workspace) -> Path:
    """What Gradio reads from the environment: no telemetry, its cache inside the workspace, no proxy to this machine.

    Gradio asks its own server for a page when it starts. A proxy that a university prescribes would be asked instead,
    and the app would not start.
    """
    cache = workspace.cache / "web"
    cache.mkdir(parents=True, exist_ok=True)
    without_stubs()
    given = ",".join(os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")).split(",")
    direct = ",".join(dict.fromkeys(host for host in (*map(str.strip, given), *sorted(LOCAL_HOSTS)) if host))
    os.environ.update({
        "no_proxy": direct,
        "NO_PROXY": direct,
        UPLOADS: str(cache),
        "GRADIO_ANALYTICS_ENABLED": "False",
        **NO_STATISTICS,
        "GRADIO_SSR_MODE": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    })  # fmt: skip
    return cache


def launch_options(settings: Settings, workspace: Workspace, bound: Binding) -> dict[str, Any]:
    """Arguments of `Blocks.launch`: the least that the page needs, everything else shut."""
    from starlette.middleware import Middleware

    from t2v_studio.ui.doorkeeper import Doorkeeper
    from t2v_studio.ui.theme import STYLE, theme

    return {
        "server_name": bound.host,
        "server_port": settings.port,
        "auth": bound.auth,
        "allowed_paths": [str(workspace.videos), str(workspace.pairs)],
        "blocked_paths": blocked_paths(workspace),
        "max_file_size": f"{settings.upload_max_mb}mb",
        "app_kwargs": {"middleware": [Middleware(Doorkeeper, local=bound.local, framed=bound.on_space)]},
        "show_error": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "mcp_server": False,
        "share": False,
        "pwa": False,
        "run_history": False,
        "footer_links": [],
        "state_session_capacity": 100,
        "favicon_path": str(STYLE.parent / "mark.svg"),
        "theme": theme(),
        "css_paths": [str(STYLE)],
        "quiet": True,
    }


def blocked_paths(workspace: Workspace) -> list[str]:
    """Everything of the user and of the program that no handler may give out.

    `data/` is closed child by child, because the one open folder (Gradio's cache) lies in it.
    """
    data = workspace.data
    held = [data / name for name in ("studio.db", "studio.db-wal", "studio.db-shm", "library", "uploads", "run")]
    held += [child for child in data.iterdir() if child != workspace.cache]
    held += [child for child in workspace.cache.iterdir() if child.name != "web"]
    held += [REPOSITORY / name for name in UNSERVED]
    held += [child for child in REPOSITORY.iterdir() if child.name.startswith(".")]
    return sorted({str(path) for path in held})


@contextmanager
def running(settings: Settings, studio: Studio | None = None) -> Iterator[tuple[gr.Blocks, str]]:
    """The app, served from a thread: yields the Blocks and the address. Closed on leaving.

    Where one process serves a second app for a while, the first one takes uploads again after it: Gradio reads the
    folder that uploads must lie in from the environment, at every request.
    """
    bound = binding(settings)
    studio = studio or Studio(settings)
    before = os.environ.get(UPLOADS)
    prepare_environment(studio.workspace)
    from starlette.middleware import Middleware

    from t2v_studio.ui.examiner.mount import Fork, examiner_app
    from t2v_studio.ui.shell import build

    studio.start()
    demo = build(studio)
    demo.queue(max_size=200, default_concurrency_limit=8)
    options = launch_options(settings, studio.workspace, bound)
    options["app_kwargs"]["middleware"].append(Middleware(Fork, web=examiner_app(studio)))
    try:
        url = _launch(demo, options)
        yield demo, url
    finally:
        demo.close(verbose=False)
        studio.stop()
        if before is not None:
            os.environ[UPLOADS] = before


def _launch(demo: gr.Blocks, options: dict[str, Any]) -> str:
    """Serve from a thread; the address. Raises UnavailableError (port_taken).

    `_frontend=False` leaves out Gradio's own look at the front page alone: it gives up after 3 seconds, and on a busy
    machine the app then did not start, with an advice (`share=True`) that this app never takes.
    """
    try:
        _, url, _ = demo.launch(prevent_thread_lock=True, _frontend=False, **options)
    except OSError as error:
        raise UnavailableError(
            "port_taken",
            f"T2V_PORT: {options['server_port']} is in use on {options['server_name']}.",
            "Stop the other program, or set T2V_PORT.",
        ) from error
    return str(url)


def serve(settings: Settings, *, studio: Studio | None = None, open_browser: bool = False) -> None:
    """Serve until Ctrl-C. Workers outlive the page and are adopted by the next one."""
    with running(settings, studio) as (demo, url):
        log.info("T2V Studio is at %s", url)
        os.write(1, f"T2V Studio is at {url}\n".encode())
        if open_browser:
            import webbrowser

            webbrowser.open(url)
        demo.block_thread()
