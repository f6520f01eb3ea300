"""What a person may choose about the Manim engine: flags, fields of the page and record alike."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ManimOptions(BaseModel):
    """Choices that only the Manim engine reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manim_scenes: Literal["template", "written"] = Field(
        "template",
        description="template: the studio's own scenes. written: a language model writes each scene, in the sandbox.",
    )
    manim_model_id: str = Field(
        "", max_length=300, description="Chat model that writes scenes: a name, or a folder. Empty: T2V_MANIM_MODEL_ID."
    )
    manim_adapter: str = Field(
        "", max_length=200, description="Adapter of the catalogue that this model wears (see `t2v adapters list`)."
    )
    manim_code: dict[str, str] = Field(
        default_factory=dict,
        description="Scene id to code that draws it as it stands, through gate and sandbox; an empty text: the template.",
    )
