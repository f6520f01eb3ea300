"""`t2v serve`, `doctor` and `demo`: the app itself, what it stands on, and a first look."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, follow, note, print_json, say
from t2v_studio.errors import NotFoundError, plural
from t2v_studio.production.request import parse_request
from t2v_studio.studio import Studio
from t2v_studio.workspace import SHIPPED

SAMPLE_BOOK = SHIPPED / "sample" / "six-ideas-of-machine-learning.pdf"
SAMPLE_TOPIC = "gradient descent"


def register(app: typer.Typer) -> None:
    """Put these commands on the root."""
    app.command("serve")(serve)
    app.command("doctor")(doctor)
    app.command("demo")(demo)


def serve(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; T2V_PORT is its twin.")] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser window.")] = False,
) -> None:
    """Run the web app."""
    from t2v_studio.settings import load_settings
    from t2v_studio.ui.app import serve as serve_app

    settings = load_settings(port=port) if port else load_settings()
    serve_app(settings, open_browser=open_browser)


def doctor(json: JsonFlag = False) -> None:
    """What is there, what is missing, and what each absence costs."""
    rows = Studio().doctor()
    if json:
        print_json({"checks": rows})
        return
    marks = {"ok": "ok     ", "warning": "note   ", "missing": "missing"}
    for row in rows:
        say(f"{marks[row['state']]}  {row['name']}: {row['found']}")
        if row["state"] != "ok":
            for line in (row["cost"], row["hint"]):
                if line:
                    say(f"           {line}")


def demo(
    if_empty: Annotated[
        bool, typer.Option("--if-empty", help="Do nothing where a book or a video is already there.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Ingest the sample book and make the sample pair."""
    studio = Studio()
    if if_empty and studio.books() and studio.videos(limit=1):
        if json:
            print_json({"made": False})
        return
    result = make_sample(studio, quiet=json)
    if json:
        print_json(result)
        return
    say(f"book:         {result['book']['title']} ({plural(result['book']['kept'], 'passage')})")
    say(f"no_rag:       {result['pair']['no_rag']['video']}")
    say(f"rag_semantic: {result['pair']['rag_semantic']['video']}")


def make_sample(studio: Studio, quiet: bool) -> dict[str, Any]:
    """The sample book in the library and a pair made from it."""
    if not SAMPLE_BOOK.is_file():
        raise NotFoundError("no_sample", "The sample book is not there.", "Build it with: make sample")
    if not quiet:
        note("Reading the sample book …")
    book = follow(studio, studio.submit_book(SAMPLE_BOOK), quiet)
    if not quiet:
        note(f'Making the sample pair on "{SAMPLE_TOPIC}" …')
    request = parse_request(
        {"topic": SAMPLE_TOPIC, "use_rag": True, "seed": 61, "book_ids": [book["book"]], "width": 1280, "height": 720}
    )
    return {"made": True, "book": book, "pair": follow(studio, studio.submit_pair(request), quiet)}
