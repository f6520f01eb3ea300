"""`t2v study`: a blind study from draft to table, and the analysis of ratings collected elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, note, print_json, say, table
from t2v_studio.studio import Studio

app = typer.Typer(
    help="Studies: analyse, list, show, create, lock, invite, close, unblind, report, power.", no_args_is_help=True
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


def show_analysis(result: dict[str, Any]) -> None:
    """The numbers as an aligned table, then what they allow one to say."""
    say(f"{result['treated']} minus {result['control']}: {result['topics']} topics, {result['raters']} raters\n")
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
