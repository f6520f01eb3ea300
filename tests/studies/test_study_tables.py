"""Tables for the thesis: one frame, four forms, nothing that LaTeX or a spreadsheet would stumble over."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from t2v_studio.studies import tables

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = r"50% of a_b & {c} #1 $x$ ~^ \end{table}"


def row(criterion: str, **changes: Any) -> dict[str, Any]:
    made = {
        "criterion": criterion, "topics": 12, "mean_control": 2.5, "sd_control": 0.5, "mean_treated": 3.25,
        "sd_treated": 0.75, "gap": 0.75, "ci_low": 0.4, "ci_high": 1.1, "p": 0.0004, "p_holm": 0.0008,
        "p_permutation": 0.001, "rank_biserial": 0.9, "win": 10, "tie": 1, "loss": 1, "alpha": 0.71, "alpha_low": 0.5,
        "alpha_high": 0.8, "alpha_preference": 0.4, "verdict": "",
    }  # fmt: skip
    return made | changes


def analysis(**changes: Any) -> dict[str, Any]:
    undefined = dict.fromkeys(("ci_low", "ci_high", "alpha", "alpha_low", "alpha_high", "rank_biserial"))
    rows = [
        row("correctness"),
        row("a_b", gap=-0.25, ci_low=-0.5, ci_high=-0.001, p_holm=0.25),
        row("flat", **undefined),
    ]
    return {"control": "no_rag", "treated": "rag_semantic", "criteria": rows} | changes


def made() -> tables.Table:
    labels = {"correctness": "Theoretical correctness", "flat": HOSTILE}
    return tables.criteria_table(analysis(), labels, [f"Note on {HOSTILE}.", "p < 0.05; α undefined."])


@pytest.mark.parametrize("suffix", ["tex", "csv", "md", "html"])
def test_table_1_is_as_it_was(suffix: str) -> None:
    """Run with T2V_WRITE_GOLDEN=1 after a change that is meant."""
    path, text = GOLDEN / f"criteria.{suffix}", made().texts()[suffix]
    if os.environ.get("T2V_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def check_latex(text: str) -> None:
    """Environments and braces balance, every row has its columns, and no special sign stands raw."""
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    bare = re.sub(r"\\[&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    inside = re.search(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", bare, re.DOTALL)
    assert inside
    rows = [line for line in inside[2].splitlines() if line.strip().endswith(r"\\")]
    assert rows and all(line.count("&") == len(inside[1]) - 1 for line in rows)
    outside = bare.replace(inside[0], "") + "".join(rows).replace("&", "")
    outside = re.sub(r"\$\\?[a-z<>-]+\$|\\[a-zA-Z]+(\{tab:\w+\})?", "", outside)
    assert not re.search(r"[&%#_$^~<>]", outside), re.search(r".{20}[&%#_$^~<>].{20}", outside)


def test_latex_holds_no_raw_sign() -> None:
    text = made().latex()
    check_latex(text)
    assert r"no\_rag & rag\_semantic" in text
    assert "$-$0.25 [$-$0.50, 0.00]" in text
    assert text.count(r"\end{table}") == 1
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{", r"\label{tab:criteria}"):
        assert rule in text


def test_the_check_of_latex_can_fail() -> None:
    with pytest.raises(AssertionError):
        check_latex(made().latex().replace(r"\_", "_"))
    with pytest.raises(AssertionError):
        check_latex(made().latex().replace(r"\%", "%"))


def test_all_forms_show_the_same_cells() -> None:
    table = made()
    cells = list(csv.reader(io.StringIO(table.csv())))
    assert cells[0] == ["Criterion", *table.frame.columns]
    markdown = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert len(markdown) == 2 + len(table.frame)
    for cell in table.frame.to_numpy().ravel():
        assert cell in table.markdown()
        assert cell.replace("<", "&lt;") in table.html()
    assert "<script>" not in tables.Table("x", pd.DataFrame({"<script>": ["<script>"]}), "<script>").html()


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\tx", "-2+3+cmd|' /C calc'!A0"])
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    frame = pd.DataFrame({text: [text]}, index=pd.Index([text], name="Topic"))
    for line in csv.reader(io.StringIO(tables.Table("x", frame, "").csv())):
        assert all(cell.startswith("'") or cell == "Topic" for cell in line)


def test_figures_stay_figures_in_a_csv() -> None:
    assert tables.safe_cell("-0.25 [-0.50, 0.00]") == "-0.25 [-0.50, 0.00]"


def test_numbers_as_text() -> None:
    assert tables.number(-0.001) == "0.00"
    assert tables.number(None) == "n/a"
    assert tables.p_text(0.0004) == "<0.001"
    assert tables.with_interval(1.0, None, None) == "1.00"


def test_small_and_large_measures_keep_three_figures() -> None:
    shared = {"better": "lower", "topics": 2, "ci_low": None, "ci_high": None, "p": 1.0, "win": 1, "tie": 0, "loss": 1}
    rows = [
        shared | {"metric": name, "mean_control": mean, "sd_control": None, "mean_treated": 2 * mean, "sd_treated": None}
        | {"gap": mean}
        for name, mean in (("warp_error", 0.0000321), ("sharpness", 812.4), ("cuts", 0.0))
    ]  # fmt: skip
    frame = tables.metrics_table({"metrics": rows, "notes": []}, "a", "b").frame
    assert list(frame["a"]) == ["32.1", "812", "0.00"]
    assert list(frame.index) == ["warp error (1e-6)", "sharpness", "cuts"]


def test_long_names_stand_on_lines_of_their_own_and_flags_keep_their_dashes() -> None:
    row = {"metric": "flicker", "criterion": "correctness", "rho": 0.5, "ci_low": 0.1, "ci_high": 0.9}
    text = tables.correlations_table({"correlations": [row]}, {"correctness": "Theoretical correctness"}).latex()
    assert r"\shortstack[r]{\rule{0pt}{2.4ex}Theoretical\\ correctness}" in text
    assert r"\scriptsize" in text
    assert tables.tex("see --clip-weights") == "see -{}-clip-weights"
