"""`t2v study`: a blind study from draft to table, and the analysis of ratings collected elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, follow, note, print_json, say, table
from t2v_studio.errors import InputError, plural
from t2v_studio.studio import Studio

app = typer.Typer(
    help="Blind studies: create, lock, invite, close, report; analyse ratings made elsewhere.", no_args_is_help=True
)

StudyId = Annotated[str, typer.Argument(help="Id of a study, as `t2v study list` prints it.")]
SHOWN = ("criterion", "n", "control", "treated", "gap", "95 % CI", "p", "Holm p", "effect", "W/T/L", "alpha")


@app.command("analyse")
def analyse(
    scores: Annotated[Path, typer.Argument(help="CSV with the columns rater, topic, variant, criterion, score.")],
    control: Annotated[str, typer.Option(help="Name of the control variant; found by itself where it is clear.")] = "",
    treated: Annotated[str, typer.Option(help="Name of the treated variant.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Also write tables, figures and bundle here.")] = None,
    json: JsonFlag = False,
) -> None:
    """Analyse a table of ratings: paired by topic, Holm over the criteria, agreement of the raters."""
    result = Studio().studies.analyse_table(scores, control=control, treated=treated, seed=seed, folder=out)
    if json:
        print_json(result)
    else:
        show_analysis(result)
        if out is not None:
            say(f"\n{plural(len(result['files']), 'file')} in {out}")


@app.command("list")
def list_studies(json: JsonFlag = False) -> None:
    """Studies, newest first."""
    rows = Studio().studies.studies()
    if json:
        print_json({"studies": rows})
    elif not rows:
        say("No study yet. Make one from finished pairs with: t2v study create --title ... --pair PAIR --pair PAIR")
    else:
        table([_progress(row) for row in rows], ("id", "state", "title", "topics", "invited", "screens", "created_at"))


def _progress(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"screens": f"{row['done']}/{row['screens']}"}


@app.command("show")
def show(study_id: StudyId, json: JsonFlag = False) -> None:
    """One study: topics, examiners, and what stands in the way of locking a draft. No score, no arm."""
    row = Studio().studies.study(study_id)
    if json:
        print_json(row)
        return
    say(f"{row['id']}  {row['state']}  {row['title']}")
    if row["design_sha256"]:
        say(f"design hash {row['design_sha256']}")
    say()
    table(row["topics"], ("key", "title", "pair_id"))
    if row["raters"]:
        say()
        table([_progress(rater) for rater in row["raters"]], ("pseudonym", "invited", "screens", "last_seen"))
    _show_checks(row["checks"])


def _show_checks(checks: list[dict[str, Any]]) -> None:
    for check in checks:
        where = f"{check['topic']}: " if check["topic"] else ""
        say(f"{check['level']:<6}{where}{check['message']}")


@app.command("create")
def create(
    title: Annotated[str, typer.Option(help="What examiners see above each pair.")],
    pair: Annotated[
        list[str] | None, typer.Option("--pair", help="Id of a finished pair; once for each topic.")
    ] = None,
    pack: Annotated[str, typer.Option(help="Name of the pack that the pairs come from, for the record.")] = "",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of orders, sides and intervals.")] = None,
    json: JsonFlag = False,
) -> None:
    """A draft from finished pairs: one topic a pair."""
    row = Studio().studies.create(title, pair or [], pack=pack, seed=seed)
    if json:
        print_json(row)
        return
    say(f"{row['id']}  {row['state']}  {plural(len(row['topics']), 'topic')}")
    _show_checks(row["checks"])
    note(f"Next: t2v study lock {row['id']} --raters 3")


@app.command("lock")
def lock(
    study_id: StudyId,
    raters: Annotated[int, typer.Option(min=1, max=200, help="How many examiners there will be.")],
    override: Annotated[
        list[str] | None, typer.Option("--override", help="TOPIC=REASON: lock although a clip of this topic is bad.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Freeze topics, clips, rubric and the plan of screens; blinded copies are made now."""
    row = Studio().studies.lock(study_id, raters=raters, overrides=_overrides(override or []))
    if json:
        print_json(row)
        return
    say(f"{row['id']} is locked for {plural(raters, 'examiner')}; design hash {row['design_sha256']}")
    note(f"Next: t2v study invite {row['id']}")


def _overrides(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for text, (topic, _, reason) in zip(given, pairs, strict=True):
        if not topic.strip() or not reason.strip():
            raise InputError("bad_override", f"--override: {text!r} gives no reason.", 'Write TOPIC="why it may stay".')
    return {topic.strip(): reason.strip() for topic, _, reason in pairs}


@app.command("invite")
def invite(
    study_id: StudyId,
    pseudonym: Annotated[str, typer.Option("--as", help="Pseudonym; one is chosen where it is left out.")] = "",
    json: JsonFlag = False,
) -> None:
    """The next examiner's link. Its token is shown this once."""
    row = Studio().studies.invite(study_id, pseudonym)
    if json:
        print_json(row)
        return
    say(f"{row['pseudonym']}: {row['path']}")
    note("Put the address of the running app before it. The token is not shown again.")


@app.command("close")
def close(study_id: StudyId, json: JsonFlag = False) -> None:
    """End the collection; from now on means may be seen."""
    _step(Studio().studies.close(study_id), f"Next: t2v study report {study_id} --out DIR", json)


@app.command("unblind")
def unblind(study_id: StudyId, json: JsonFlag = False) -> None:
    """Reveal which side was which arm on each screen of a closed study."""
    _step(Studio().studies.unblind(study_id), f"Next: t2v study report {study_id} --out DIR", json)


def _step(row: dict[str, Any], following: str, json: bool) -> None:
    if json:
        print_json(row)
    else:
        say(f"{row['id']} is {row['state']}.")
        note(following)


@app.command("report")
def report(
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, figures, methods paragraph and bundle.")],
    study_id: Annotated[str, typer.Argument(help="Id of a closed study.")] = "",
    source: Annotated[
        Path | None, typer.Option("--from", help="A bundle.zip instead: compute everything anew from its ratings.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Tables (LaTeX, CSV, Markdown, HTML), figures, methods paragraph and bundle of a study."""
    if bool(study_id) == (source is not None):
        raise InputError(
            "usage", "Give either the id of a study or --from with a bundle.", "See the flags with --help."
        )
    studio = Studio()
    if source is None:
        job = studio.studies.submit_report(study_id, out)
        if not json:
            note("The first report of a study measures every clip, which takes a while …")
        files = [Path(file) for file in follow(studio, job, json)["files"]]
    else:
        files = studio.studies.report_again(source, out)
    if json:
        print_json({"out": str(out), "files": [str(file) for file in files]})
        return
    say((out / "methods.md").read_text(encoding="utf-8").rstrip())
    say()
    say(f"{len(files)} files in {out}; Table 1: {out / 'tables' / 'criteria.tex'}; bundle: {files[-1]}")


@app.command("power")
def power(
    gap: Annotated[float, typer.Option(min=-4.0, max=4.0, help="Mean gap in points that should be found.")] = 1.0,
    topics: Annotated[str, typer.Option(help="Numbers of topics, such as 8,12,20.")] = "8,12,20",
    raters: Annotated[str, typer.Option(help="Numbers of examiners, such as 2,3,5.")] = "2,3,5",
    json: JsonFlag = False,
) -> None:
    """How likely a study finds a gap: simulated, per criterion, after Holm over five."""
    rows = Studio().studies.power(gap, _counts("--topics", topics, 2, 200), _counts("--raters", raters, 1, 50))
    if json:
        print_json({"gap": gap, "power": rows})
        return
    shown = [
        {
            "topics": row["topics"],
            "examiners": row["raters"],
            "power": f"{row['power']:.2f}",
            "+/-": f"{1.96 * row['standard_error']:.2f}",
            "gap on the scale": f"{row['seen_gap']:.2f}",
        }
        for row in rows
    ]
    table(shown, ("topics", "examiners", "power", "+/-", "gap on the scale"))
    for text in dict.fromkeys(row["note"] for row in rows if row["note"]):
        note(f"note: {text}")


def _counts(flag: str, text: str, least: int, most: int) -> list[int]:
    try:
        found = [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        found = []
    if not found or not all(least <= count <= most for count in found):
        raise InputError("bad_counts", f"{flag}: {text!r}.", f"Give numbers from {least} to {most}, such as 8,12,20.")
    return found


def show_analysis(result: dict[str, Any]) -> None:
    """The numbers as an aligned table, then what they allow one to say."""
    say(
        f"{result['treated']} minus {result['control']}: {plural(result['topics'], 'topic')}, {plural(result['raters'], 'rater')}\n"
    )
    table([_cells(row) for row in result["criteria"]], SHOWN)
    say()
    for row in result["criteria"]:
        say(f"{row['criterion']}: {row['verdict']}")
    for warning in result["warnings"]:
        note(f"note: {warning}")


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "criterion": row["criterion"],
        "n": str(row["topics"]),
        "control": _mean(row["mean_control"], row["sd_control"]),
        "treated": _mean(row["mean_treated"], row["sd_treated"]),
        "gap": _number(row["gap"], "+.2f"),
        "95 % CI": _interval(row["ci_low"], row["ci_high"]),
        "p": _number(row["p"], ".4f"),
        "Holm p": _number(row["p_holm"], ".4f"),
        "effect": _number(row["rank_biserial"], "+.2f"),
        "W/T/L": f"{row['win']}/{row['tie']}/{row['loss']}",
        "alpha": _number(row["alpha"], ".2f"),
    }


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _mean(mean: float | None, sd: float | None) -> str:
    return _number(mean, ".2f") + (f" ({sd:.2f})" if sd is not None else "")


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:+.2f} to {high:+.2f}"
