"""Tables of a thesis: each is one frame of texts, written as LaTeX, CSV, Markdown and HTML, so that no number can differ."""

from __future__ import annotations

import html
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

NONE = "n/a"
ROW, COLUMN = 19, 14
"""Signs of a name that stand on one line of a LaTeX table."""
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
_GLYPHS = {"<": "$<$", ">": "$>$", "α": r"$\alpha$", "ρ": r"$\rho$", "≥": r"$\geq$", "≤": r"$\leq$", "−": "$-$"}
"""Glyphs that pdflatex's text fonts lack, or print as another sign."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FIGURES_ONLY = re.compile(r"[-+]?[\d.][\d.,\s\[\]()%/-]*")


@dataclass(frozen=True)
class Table:
    """A frame of texts with what stands above and below it. key: file name and LaTeX label; size: of the LaTeX font."""

    key: str
    frame: pd.DataFrame
    caption: str
    notes: list[str] = field(default_factory=list)
    size: str = "footnotesize"

    def texts(self) -> dict[str, str]:
        """File suffix -> content."""
        return {"tex": self.latex(), "csv": self.csv(), "md": self.markdown(), "html": self.html()}

    def latex(self) -> str:
        """A booktabs table environment; cells and both axes are escaped. Needs \\usepackage{booktabs}."""
        frame = self.frame.rename_axis(index=None, columns=self.frame.index.name)
        style = frame.style.format(_glyphs, escape="latex")
        for axis, side, width in ((0, "l", ROW), (1, "r", COLUMN)):
            style = style.format_index(_stacked(side, width), escape="latex", axis=axis).format_index_names(
                _glyphs, escape="latex", axis=axis
            )
        body = style.to_latex(
            hrules=True,
            position="htbp",
            position_float="centering",
            caption=tex(self.caption),
            label=f"tab:{self.key}",
            column_format="l" * self.frame.index.nlevels + "r" * self.frame.shape[1],
        )
        notes = "".join(f"{tex(note)}\n" for note in self.notes)
        opening = "\\begin{tabular}"
        body = body.replace(opening, f"\\{self.size}\n\\setlength{{\\tabcolsep}}{{2pt}}\n{opening}", 1)
        below = f"\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\n{notes}\\end{{minipage}}\n"
        return body.replace("\\end{table}", f"{below if notes else ''}\\end{{table}}")

    def csv(self) -> str:
        """Safe in a spreadsheet: no cell is taken for a formula."""
        safe = self.frame.map(safe_cell).rename(index=safe_cell, columns=safe_cell)
        return str(safe.to_csv(lineterminator="\n"))

    def markdown(self) -> str:
        names = [str(self.frame.index.name or ""), *map(str, self.frame.columns)]
        rows = [
            [str(index), *map(str, row)] for index, row in zip(self.frame.index, self.frame.to_numpy(), strict=True)
        ]
        lines = [_pipes(names), "|" + " --- |" + " ---: |" * (len(names) - 1), *map(_pipes, rows)]
        return "\n".join([f"**{self.caption}**", "", *lines, "", *(f"{note}  " for note in self.notes)]).rstrip() + "\n"

    def html(self) -> str:
        body = self.frame.reset_index().to_html(
            index=False, border=0, escape=True, classes="study-table", justify="left"
        )
        caption = f"<caption>{html.escape(self.caption)}</caption>"
        notes = "".join(f"<p>{html.escape(note)}</p>\n" for note in self.notes)
        return f"{body.replace('<thead>', f'{caption}<thead>', 1)}\n{notes}"


def tex(text: str) -> str:
    """Plain text as LaTeX text."""
    return _glyphs("".join(_TEX.get(sign, sign) for sign in text).replace("--", "-{}-"))


def _glyphs(text: Any) -> str:
    """Escaped text with a real minus sign before figures."""
    text = re.sub(r"(?<![\w$.)-])-(?=\d)", "$-$", str(text))
    return "".join(_GLYPHS.get(sign, sign) for sign in text)


def _stacked(side: str, width: int) -> Callable[[Any], str]:
    """For the escaped name of a row or column: on lines of `width` signs, since a text width has no room for more."""

    def stacked(text: Any) -> str:
        lines = [
            _glyphs(line) for line in textwrap.wrap(str(text), width, break_long_words=False, break_on_hyphens=False)
        ]
        joined = r"\\ ".join(lines)
        return rf"\shortstack[{side}]{{\rule{{0pt}}{{2.4ex}}{joined}}}" if len(lines) > 1 else joined

    return stacked


def safe_cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front; figures stay as they are."""
    risky = isinstance(value, str) and value.startswith(_FORMULA) and not _FIGURES_ONLY.fullmatch(value)
    return f"'{value}" if risky else value


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def number(value: float | None, digits: int = 2) -> str:
    """Fixed digits; "n/a" where it is undefined, and never "-0.00"."""
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def mean_sd(mean: float | None, sd: float | None, digits: int = 2) -> str:
    return number(mean, digits) if mean is None or sd is None else f"{number(mean, digits)} ({number(sd, digits)})"


def with_interval(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """Such as 0.81 [0.42, 1.19]; the brackets are left out where there is no interval."""
    if value is None or low is None or high is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def p_text(p: float | None) -> str:
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def criteria_table(
    analysis: dict[str, Any], labels: dict[str, str], notes: list[str], *, key: str = "criteria", extra: str = ""
) -> Table:
    """Table 1: one row a criterion."""
    control, treated = analysis["control"], analysis["treated"]
    rows = [
        {
            "Criterion": labels.get(row["criterion"], row["criterion"]),
            control: mean_sd(row["mean_control"], row["sd_control"]),
            treated: mean_sd(row["mean_treated"], row["sd_treated"]),
            "Gap [95% CI]": with_interval(row["gap"], row["ci_low"], row["ci_high"]),
            "Holm p": p_text(row["p_holm"]),
            "r": number(row["rank_biserial"]),
            "W/T/L": f"{row['win']}/{row['tie']}/{row['loss']}",
            "α [95% CI]": with_interval(row["alpha"], row["alpha_low"], row["alpha_high"]),
        }
        for row in analysis["criteria"]
    ]
    caption = f"Scores by criterion: mean (SD) over topics, and the gap {treated} minus {control}{extra}."
    return Table(key, _frame(rows, "Criterion"), caption, notes)


def topics_table(
    gaps: pd.DataFrame, control: str, treated: str, labels: dict[str, str], titles: dict[str, str]
) -> Table:
    """Table 2: one row a topic. gaps: topics in rows; the columns control and treated hold means over all
    criteria, the others the gap of a criterion."""
    rows = [
        {"Topic": titles.get(str(topic), str(topic))}
        | {labels.get(str(name), str(name)): number(_none(value)) for name, value in row.items()}
        for topic, row in gaps.iterrows()
    ]
    notes = [
        f"Means over examiners. {control} and {treated}: mean over all criteria, descriptive. Others: gap of a criterion."
    ]
    return Table("topics", _frame(rows, "Topic"), f"Topics: mean scores, and the gap {treated} minus {control}.", notes)


def metrics_table(comparison: dict[str, Any], control: str, treated: str) -> Table:
    """Table 3: automatic measures of both arms, paired by topic."""
    rows = [
        {
            "Measure": row["metric"].replace("_", " ") + (f" (1e{power})" if power else ""),
            "Better": {"neither": "-"}.get(row["better"], row["better"]),
            "Topics": str(row["topics"]),
            control: mean_sd(row["mean_control"], row["sd_control"], _digits(row)) if row["topics"] else "unavailable",
            treated: mean_sd(row["mean_treated"], row["sd_treated"], _digits(row)) if row["topics"] else "unavailable",
            "Gap [95% CI]": with_interval(row["gap"], row["ci_low"], row["ci_high"], _digits(row)),
            "p": p_text(row["p"]),
            "W/T/L": f"{row['win']}/{row['tie']}/{row['loss']}" if row["topics"] else NONE,
        }
        for row, power in map(_scaled, comparison["metrics"])
    ]
    notes = [
        "Mean (SD) over topics. W/T/L: topics in which the treated video has the higher, same or lower value. "
        "p: Wilcoxon signed-rank, not corrected for the number of measures: exploratory. Warp error has to be read with "
        "dynamic degree: a clip in which nothing moves has a perfect warp error.",
        *comparison["notes"],
    ]
    return Table("metrics", _frame(rows, "Measure"), "Automatic measures of both arms (exploratory).", notes)


_IN_UNITS = ("mean_control", "sd_control", "mean_treated", "sd_treated", "gap", "ci_low", "ci_high")


def _scaled(row: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """A measure whose means are below 0.001, in units of a power of ten that stands beside its name; else as it is."""
    size = _size(row)
    power = 3 * math.floor(math.log10(size) / 3) if 0 < size < 0.001 else 0
    found = {name: row[name] / 10**power if row[name] is not None else None for name in _IN_UNITS}
    return row | found, power


def _size(row: dict[str, Any]) -> float:
    return max(abs(row["mean_control"] or 0), abs(row["mean_treated"] or 0))


def _digits(row: dict[str, Any]) -> int:
    """Three significant figures of the larger mean: measures run from 0.00001 to thousands."""
    size = _size(row)
    return min(max(2 - math.floor(math.log10(size)), 0), 7) if size else 2


def correlations_table(comparison: dict[str, Any], labels: dict[str, str]) -> Table:
    """Spearman's rho of each measure with each criterion, over clips."""
    rows: dict[str, dict[str, str]] = {}
    for row in comparison["correlations"]:
        cells = rows.setdefault(row["metric"], {"Measure": row["metric"].replace("_", " ")})
        cells[labels.get(row["criterion"], row["criterion"])] = with_interval(row["rho"], row["ci_low"], row["ci_high"])
    notes = [
        "Spearman's rank correlation over clips; intervals by bootstrap over topics. Exploratory: many correlations "
        "without correction. No automatic measure covers theoretical correctness or the order of steps."
    ]
    return Table(
        "correlations", _frame(list(rows.values()), "Measure"),
        "Correlation of automatic measures with examiners' scores (exploratory).", notes, size="scriptsize",
    )  # fmt: skip


def _frame(rows: list[dict[str, str]], index: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows).set_index(index) if rows else pd.DataFrame({index: []}).set_index(index)


def _none(value: Any) -> float | None:
    import pandas as pd

    return None if pd.isna(value) else float(value)
