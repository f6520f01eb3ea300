"""Figures of a study, for a column (3.3 in) or a text width (6.3 in), in colours safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.studies.progress import Report, nothing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMN_IN, TEXT_IN = 3.3, 6.3
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#8a8a8a", "#222222"
"""Okabe and Ito (2008)."""
LEVELS = ("#8c510a", "#d8b365", "#d9d9d9", "#5ab4ac", "#01665e")
"""1 to 5: a brown to green scale (ColorBrewer BrBG), safe for the common kinds of colour blindness."""
FORMATS = ("pdf", "svg", "png")
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "text.color": INK,
    "pdf.fonttype": 42,
    "svg.hashsalt": "study",
    "figure.dpi": 100,
}
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
"""Nothing in a file depends on the day: the same numbers give the same bytes."""


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw under the house style: sizes are taken when a text is made, not when it is saved."""

    @wraps(draw)
    def drawn(*args: Any, **options: Any) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return draw(*args, **options)

    return drawn


def draw_all(
    folder: Path,
    analysis: dict[str, Any],
    ratings: pd.DataFrame,
    labels: dict[str, str],
    titles: dict[str, str],
    *,
    report: Report = nothing,
) -> list[Path]:
    """Every figure in every format; forest and agreement in both widths."""
    plans: list[tuple[str, Callable[..., Figure], tuple[Any, ...], float]] = [
        ("forest", forest, (analysis, labels), TEXT_IN),
        ("forest_column", forest, (analysis, labels), COLUMN_IN),
        ("topics", topic_dots, (analysis, ratings, labels, titles), TEXT_IN),
        ("scores", distributions, (analysis, ratings, labels), TEXT_IN),
        ("agreement", agreement, (analysis, labels), TEXT_IN),
        ("agreement_column", agreement, (analysis, labels), COLUMN_IN),
    ]
    written = []
    for number, (name, draw, inputs, width) in enumerate(plans):
        report("drawing the figures", number, len(plans), name.replace("_", " "))
        written += save(draw(*inputs, width_in=width), folder / name)
    return written


def save(figure: Figure, stem: Path) -> list[Path]:
    """`figure` as PDF, SVG and PNG (300 dpi). The folder is made."""
    import matplotlib as mpl

    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(_STYLE):
        for kind in FORMATS:
            path = stem.with_name(f"{stem.name}.{kind}")
            figure.savefig(path, format=kind, dpi=300, metadata=_METADATA[kind])
            written.append(path)
    return written


@_styled
def forest(analysis: dict[str, Any], labels: dict[str, str], *, width_in: float = TEXT_IN) -> Figure:
    """The gap of each criterion with its 95 % interval; filled where Holm's p is 0.05 or less."""
    rows = analysis["criteria"]
    figure, (axes,) = _canvas(width_in, 0.9 + 0.34 * len(rows))
    ends = [abs(end) for row in rows for end in (row["gap"], row["ci_low"], row["ci_high"]) if end is not None]
    limit = max([0.5, *ends]) * 1.12
    for place, row in enumerate(reversed(rows)):
        if row["gap"] is None:
            axes.text(0.02 * limit, place, "no topic has both arms", va="center", color=GREY)
            continue
        firm = row["p_holm"] <= 0.05
        if row["ci_low"] is not None:
            axes.plot([row["ci_low"], row["ci_high"]], [place, place], color=BLUE, linewidth=1.6, zorder=2)
        axes.plot(row["gap"], place, "o", markersize=6, color=BLUE, markerfacecolor=BLUE if firm else "white", zorder=3)
        if width_in > 4:
            axes.annotate(
                _forest_text(row), (1.01, place), xycoords=("axes fraction", "data"), va="center", annotation_clip=False
            )
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)), [_label(labels, row["criterion"], width_in) for row in reversed(rows)])
    axes.tick_params(axis="y", length=0)
    about = [
        f"Gap in points, {analysis['treated']} minus {analysis['control']}",
        f"{analysis['topics']} topics, 95 % BCa intervals",
    ]
    filled = "filled: Holm p ≤ 0.05"
    about = [about[0], f"{about[1]}; {filled}"] if width_in > 4 else [*about, filled]
    axes.set_xlabel("\n".join(about))
    return figure


def _forest_text(row: dict[str, Any]) -> str:
    text = f"{row['gap']:+.2f}"
    if row["ci_low"] is not None:
        text += f" [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]"
    return text.replace("-", "\N{MINUS SIGN}")


@_styled
def topic_dots(
    analysis: dict[str, Any],
    ratings: pd.DataFrame,
    labels: dict[str, str],
    titles: dict[str, str],
    *,
    width_in: float = TEXT_IN,
) -> Figure:
    """Both arms of each topic, joined by a line; one panel a criterion."""
    from t2v_studio.studies.analysis import topic_differences

    control, treated = analysis["control"], analysis["treated"]
    names = [row["criterion"] for row in analysis["criteria"]]
    topics = sorted(ratings["topic"].unique(), reverse=True)
    figure, panels = _canvas(width_in, 1.0 + 0.25 * max(len(topics), 3), len(names))
    for axes, name in zip(panels, names, strict=True):
        means = topic_differences(ratings[ratings["criterion"] == name], control, treated)
        for topic, row in means.iterrows():
            place = topics.index(topic)
            colour = BLUE if row["d"] > 0 else ORANGE if row["d"] < 0 else GREY
            axes.plot([row[control], row[treated]], [place, place], color=colour, linewidth=1.3, zorder=2)
            axes.plot(row[control], place, "o", markersize=4, color=INK, markerfacecolor="white", zorder=3)
            axes.plot(row[treated], place, "o", markersize=4, color=INK, markerfacecolor=INK, zorder=4)
        axes.set_xlim(0.7, 5.3)
        axes.set_xticks(range(1, 6))
        axes.set_ylim(-0.7, len(topics) - 0.3)
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_title(_wrapped(labels.get(name, name), 13))
        axes.set_yticks(range(len(topics)), [""] * len(topics))
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticklabels([_wrapped(_cut(titles.get(str(topic), str(topic)), 50), 26) for topic in topics])
    figure.supxlabel(
        f"Mean score (1 to 5). Open: {control}; filled: {treated}. Blue: {treated} higher; orange: lower", fontsize=8
    )
    return figure


@_styled
def distributions(
    analysis: dict[str, Any], ratings: pd.DataFrame, labels: dict[str, str], *, width_in: float = TEXT_IN
) -> Figure:
    """How often each score was given: two stacked bars a criterion."""
    from matplotlib.patches import Patch

    names = [row["criterion"] for row in analysis["criteria"]]
    arms = (analysis["control"], analysis["treated"])
    figure, (axes,) = _canvas(width_in, 1.1 + 0.62 * len(names))
    ticks, texts = [], []
    for number, name in enumerate(reversed(names)):
        for arm_number, arm in enumerate(reversed(arms)):
            place = number * 3.0 + arm_number
            scores = ratings[(ratings["criterion"] == name) & (ratings["variant"] == arm)]["score"].dropna().round()
            left = 0.0
            for level, colour in enumerate(LEVELS, 1):
                share = 100 * float((scores == level).mean()) if len(scores) else 0.0
                axes.barh(place, share, left=left, height=0.86, color=colour, edgecolor="white", linewidth=0.6)
                if share >= 7:
                    dark = level in (1, 5)
                    axes.text(
                        left + share / 2, place, f"{share:.0f}", ha="center", va="center", fontsize=7,
                        color="white" if dark else INK,
                    )  # fmt: skip
                left += share
            ticks.append(place)
            texts.append(arm)
        axes.text(0, number * 3.0 + 1.58, labels.get(name, name).replace("$", r"\$"), va="bottom", fontweight="bold")
    axes.set_yticks(ticks, texts)
    axes.set_ylim(-0.7, 3.0 * len(names) - 0.7)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 100)
    axes.set_xlabel("Share of scores (%)")
    handles = [Patch(color=colour, label=str(level)) for level, colour in enumerate(LEVELS, 1)]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False, handlelength=1, title="Score")
    return figure


@_styled
def agreement(analysis: dict[str, Any], labels: dict[str, str], *, width_in: float = TEXT_IN) -> Figure:
    """Krippendorff's alpha of each criterion with its interval, against the usual bands."""
    from t2v_studio.studies.analysis import FIRM_ALPHA, TENTATIVE_ALPHA

    rows = analysis["criteria"]
    figure, (axes,) = _canvas(width_in, 0.95 + 0.32 * len(rows))
    lows = [row["alpha_low"] for row in rows if row["alpha_low"] is not None]
    floor = min([0.0, *lows, *(row["alpha"] for row in rows if row["alpha"] is not None)])
    for place, row in enumerate(reversed(rows)):
        if row["alpha"] is None:
            axes.text(0.02, place, "undefined", va="center", color=GREY)
            continue
        weak = row["alpha"] < TENTATIVE_ALPHA
        axes.barh(
            place, row["alpha"], height=0.6, color="#f0c9ae" if weak else "#a9cfe6", edgecolor=ORANGE if weak else BLUE
        )
        if row["alpha_low"] is not None:
            axes.plot([row["alpha_low"], row["alpha_high"]], [place, place], color=INK, linewidth=1.2)
    top = len(rows) - 0.45
    axes.axvline(TENTATIVE_ALPHA, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.axvline(FIRM_ALPHA, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.text(
        TENTATIVE_ALPHA - 0.01, top, "tentative from here \N{RIGHTWARDS ARROW}", fontsize=7, color="#555555", ha="right"
    )
    axes.text(FIRM_ALPHA + 0.01, top, "firm \N{RIGHTWARDS ARROW}", fontsize=7, color="#555555")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlim(floor * 1.1, 1.02)
    axes.set_ylim(-0.6, len(rows) - 0.1)
    axes.set_yticks(range(len(rows)), [_label(labels, row["criterion"], width_in) for row in reversed(rows)])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        "Krippendorff's alpha (ordinal), 95 % interval" if width_in > 4 else "Krippendorff's alpha, 95 % interval"
    )
    return figure


def _canvas(width_in: float, height_in: float, columns: int = 1) -> tuple[Figure, list[Any]]:
    """A figure without pyplot: nothing global is touched, so that threads may draw at once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _label(labels: dict[str, str], name: str, width_in: float) -> str:
    return _wrapped(labels.get(name, name), 40 if width_in > 4 else 13)


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text.replace("$", r"\$"), width)) or text


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
