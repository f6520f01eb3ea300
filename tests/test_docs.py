"""The documentation says what the program does: settings, commands, tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from t2v_studio.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def settings_page() -> str:
    """The page of settings, made from the model."""
    lines = [
        "# Settings",
        "",
        "Set them in the environment or in a `.env` file. Made from `t2v_studio/settings.py`.",
        "",
    ]
    lines += ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        lines.append(f"| `T2V_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def test_every_setting_is_documented() -> None:
    page = ROOT / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_page(), "write it again: python tests/test_docs.py"


def test_the_tree_of_the_readme_is_the_tree() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.split("## The tree")[1].split("```")[1]
    for line in tree.strip().splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()
        assert (ROOT / ("t2v_studio" if indent else "") / name).exists(), f"{name} is named but not there"


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name
)
def test_links_and_pictures_are_there(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name} points to {target}"


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
