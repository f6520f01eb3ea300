"""Scenarios: kinds of footage, told by whole words of the captions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from t2v_studio.errors import InputError, wrong_fields
from t2v_studio.workspace import SHIPPED

SCENARIOS = "scenarios.yaml"
_NAME = r"^[a-z][a-z0-9_]{0,39}$"
_FIELDS = re.compile(r"\{([^{}]*)\}")


class Scenario(BaseModel):
    """One kind of footage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keywords: list[str] = Field(min_length=1, description="Whole words or phrases of a caption, in any case.")
    prompt_templates: list[str] = Field(
        min_length=1, description="Ways to ask for a clip, with {caption} and {scenario}."
    )
    min_examples: int = Field(1, ge=1, description="Fewest clips that it takes to train on.")
    _patterns: list[re.Pattern[str]] = PrivateAttr(default_factory=list)

    @field_validator("keywords")
    @classmethod
    def _words(cls, keywords: list[str]) -> list[str]:
        if any(not re.search(r"\w", keyword) for keyword in keywords):
            raise ValueError("a keyword holds no letter")
        return keywords

    @field_validator("prompt_templates")
    @classmethod
    def _fields_are_known(cls, templates: list[str]) -> list[str]:
        for template in templates:
            names = _FIELDS.findall(template)
            if "caption" not in names or set(names) - {"caption", "scenario"}:
                raise ValueError(f"{template!r} needs {{caption}} and may hold {{scenario}}, nothing else")
        return templates

    def model_post_init(self, _: Any) -> None:
        self._patterns = [_pattern(keyword) for keyword in self.keywords]

    def hits(self, caption: str) -> int:
        """How many of the keywords stand in a caption as whole words."""
        return sum(bool(pattern.search(caption)) for pattern in self._patterns)

    def prompts(self, caption: str, name: str) -> list[str]:
        """The templates filled in, repeats left out; the sentence loses its full stop inside a longer one."""
        bare = caption.rstrip(". ")
        filled = [
            template.replace("{caption}", caption if template == "{caption}" else bare).replace(
                "{scenario}", name.replace("_", " ")
            )
            for template in self.prompt_templates
        ]
        return list(dict.fromkeys(filled))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    scenarios: dict[str, Scenario] = Field(min_length=1)

    @field_validator("scenarios")
    @classmethod
    def _names(cls, scenarios: dict[str, Scenario]) -> dict[str, Scenario]:
        for name in scenarios:
            if not re.match(_NAME, name):
                raise ValueError(f"{name!r} is no name: small letters, digits and _")
        return scenarios


def _pattern(keyword: str) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(word) for word in keyword.split())
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def read_scenarios(path: Path | None = None) -> dict[str, Scenario]:
    """Name to scenario, in the file's order; the file that ships by default. Raises InputError that names the field."""
    path = path or SHIPPED / SCENARIOS
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            "scenarios_unreadable", f"{path} cannot be read ({error.strerror}).", "Check the path."
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError("scenarios_unreadable", f"{path.name}: {error}", "Correct the YAML.") from error
    return parse_scenarios(data, path.name)


def parse_scenarios(data: Any, named: str = SCENARIOS) -> dict[str, Scenario]:
    """Scenarios from YAML data. Raises InputError that names the field, with the nearest known name."""
    try:
        return _File.model_validate(data).scenarios
    except ValidationError as error:
        known = [*_File.model_fields, *Scenario.model_fields]
        raise wrong_fields("bad_scenarios", error, named, known=known, hint="Look at data/scenarios.yaml.") from error


def assign(captions: Sequence[str], scenarios: dict[str, Scenario]) -> tuple[str, str]:
    """The scenario of a clip and the caption that speaks for it; ("", "") where no keyword is met.

    All captions count: the scenario with the most keyword hits over them wins, the first of the file where two
    are level. Its caption is the one with most hits, the first of those.
    """
    totals = {name: sum(scenario.hits(caption) for caption in captions) for name, scenario in scenarios.items()}
    best = max(totals, key=lambda name: totals[name])
    if not totals[best]:
        return "", ""
    return best, max(captions, key=scenarios[best].hits)
