"""The console command: the same verbs as the page, for scripts and for machines without a screen."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from t2v_studio import __version__
from t2v_studio.cli import (
    adapters,
    books,
    datasets,
    environment,
    jobs,
    manifests,
    metrics,
    models,
    packs,
    speed,
    studies,
    training,
    videos,
)
from t2v_studio.cli.flags import misread
from t2v_studio.cli.output import fail
from t2v_studio.errors import StudioError

app = typer.Typer(
    name="t2v",
    help="T2V Studio: a textbook and a topic go in; a short, cited explainer video comes out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(books.app, name="library")
app.add_typer(jobs.app, name="jobs")
app.add_typer(packs.app, name="pack")
app.add_typer(studies.app, name="study")
app.add_typer(training.app, name="train")
app.add_typer(adapters.app, name="adapters")
speed.register(models.models)
app.add_typer(models.models, name="models")
app.add_typer(models.cache, name="cache")
app.add_typer(datasets.app, name="dataset")
manifests.register(app)
metrics.register(app)
videos.register(app)
environment.register(app)


INTERRUPTED = 130
"""Exit code of a command that Ctrl-C stopped."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"t2v {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, with tracebacks.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s"
    )


def main() -> None:
    """Run the command line. Exit code 0 means that what was asked for is there."""
    as_json = "--json" in sys.argv
    # Set before any of these libraries is imported: no request leaves the machine by itself.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt  # which typer keeps to itself
        sys.exit(code if isinstance(code, int) else 0)
    except StudioError as error:
        logging.getLogger(__name__).info("%s", error.code, exc_info=error)
        fail(error, as_json)
    except typer.TyperException as error:
        fail(misread(error), as_json)
    except (KeyboardInterrupt, typer.Abort):
        fail(
            StudioError("interrupted", "Stopped by the keyboard.", "Start it again whenever you like."),
            as_json,
            INTERRUPTED,
        )
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the reader has gone; nothing more may be flushed
        sys.exit(1)
    except Exception as error:
        logging.getLogger(__name__).exception("unexpected")
        fail(
            StudioError(
                "internal",
                f"{type(error).__name__}: {error}",
                "This is a defect. Run again with --verbose and report the log.",
            ),
            as_json,
        )
