"""docs/refresh.md names commands and flags that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from t2v_studio.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "refresh.md"


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_the_page_goes_all_the_way_round() -> None:
    told = " ".join(commands())
    for verb in (
        "pack run",
        "study close",
        "manifest build",
        "train video",
        "train validate",
        "adapters edit",
        "summary",
    ):
        assert f"t2v {verb}" in told


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_page_is_one(line: str) -> None:
    name, *words = shlex.split(line)
    assert name == "t2v"
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        word = words.pop(0)
        assert word in found.commands, f"there is no {word} in: {line}"
        found = found.commands[word]
    flags = {flag for parameter in found.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= flags, line
