"""A closed study's report on the page: the files that were written, read again."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t2v_studio.ui import markup

TABLES = ("criteria", "criteria_all", "topics", "metrics", "correlations")
FIGURES = (
    ("forest", "Gap of each criterion, with its interval"),
    ("topics", "Topic by topic"),
    ("scores", "How often each score was given"),
    ("agreement", "Agreement of the examiners"),
)
STYLE = """
.t2-report { display: flex; flex-direction: column; gap: 14px; }
.t2-report h3 { margin: 8px 0 0; }
.t2-report ul { margin: 0; padding-left: 20px; list-style: disc; line-height: 1.55; }
.t2-sheet { overflow-x: auto; border: 1px solid var(--border-color-primary); border-radius: 8px; background: var(--block-background-fill); padding: 4px 12px 10px; }
.t2-sheet table { border-collapse: collapse; font-size: 13px; width: 100%; font-variant-numeric: tabular-nums; color: var(--body-text-color); }
.t2-sheet caption { text-align: left; padding: 8px 0; font-weight: 600; color: var(--body-text-color); }
.t2-sheet th, .t2-sheet td { padding: 5px 10px 5px 0; border: 0; border-top: 1px solid var(--border-color-primary); text-align: right !important; white-space: nowrap; background: none; }
.t2-sheet th { font-size: 12px; color: var(--body-text-color-subdued); font-weight: 600; }
.t2-sheet :is(th, td):first-child { text-align: left !important; white-space: normal; }
.t2-sheet p { margin: 6px 0 0; font-size: 12px; color: var(--body-text-color-subdued); }
.t2-figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 14px; align-items: start; }
.t2-figures figure { margin: 0; border: 1px solid var(--border-color-primary); border-radius: 8px; overflow: hidden; background: #fff; }
.t2-figures img { display: block; width: 100%; height: auto; padding: 8px; box-sizing: border-box; }
.t2-figures figcaption { padding: 6px 12px; font-size: 12px; color: #56636f; border-top: 1px solid #e3e8ee; }
"""
BLIND = (
    "Scores stay hidden until the study is closed",
    "Who sees a mean while examiners still score is tempted to stop when it looks right, and the p-values no longer hold. "
    "Counts of what is done stand in Study. Close the study there when your examiners are through.",
)


def blind(study: Mapping[str, Any]) -> str:
    """Why nothing is shown yet."""
    if study["state"] == "draft":
        return markup.empty(
            "This study is a draft", "Lock it in Study, invite examiners, and close it when they are through."
        )
    done = f"{study['done']} of {study['screens']} screens are done."
    return markup.empty(BLIND[0], f"{BLIND[1]} {done}")


def report(folder: Path) -> str:
    """Findings, tables and figures of a report that was written into `folder`; empty where there is none."""
    source = folder / "analysis.json"
    if not source.is_file():
        return ""
    found = json.loads(source.read_text(encoding="utf-8"))
    lines = "".join(f"<li>{markup.text(line)}</li>" for line in found.get("findings", []))
    sheets = "".join(_sheet(folder / "tables" / f"{name}.html") for name in TABLES)
    figures = "".join(_figure(folder / "figures" / f"{name}.svg", words) for name, words in FIGURES)
    return (
        f'<div class="t2-report"><h3 class="t2-h">In plain words</h3><ul>{lines}</ul>'
        f'<h3 class="t2-h">Tables</h3>{sheets}<h3 class="t2-h">Figures</h3><div class="t2-figures">{figures}</div>'
        f'<h3 class="t2-h">Methods</h3><p>{markup.text(found.get("methods", ""))}</p></div>'
    )


def _sheet(path: Path) -> str:
    """The table as it was written; its cells are escaped there."""
    return f'<div class="t2-sheet">{path.read_text(encoding="utf-8")}</div>' if path.is_file() else ""


def _figure(path: Path, words: str) -> str:
    """The figure as a picture that carries its own bytes: no file of a study is served, and no script in it runs."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    shown = html.escape(words, quote=True)
    return (
        f'<figure><img alt="{shown}" src="data:image/svg+xml;base64,{data}"><figcaption>{shown}</figcaption></figure>'
    )
