"""What a person asks for: one model behind the form, the flags and the saved record."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.engines.diffusion.presets import Preset, preset
from t2v_studio.engines.manim.options import ManimOptions
from t2v_studio.errors import wrong_fields
from t2v_studio.planning.plan import ScenePlan

LENGTHS = ("seconds", "frames", "scene_frames")
DIFFUSION_FIELDS = tuple(DiffusionOptions.model_fields)
"""Fields of a request that only the diffusion engine reads."""
MANIM_FIELDS = tuple(ManimOptions.model_fields)
"""Fields of a request that only the Manim engine reads."""


class _Video(BaseModel):
    """What every engine reads."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    topic: str = Field(min_length=1, max_length=300, description="What to explain.")
    audience: str = Field("", max_length=200, description="For whom. Empty: the template's own.")
    objective: str = Field("", max_length=400, description="What viewers should understand. Empty: the template's own.")
    style: str = Field("", max_length=300, description="Look of the video, for diffusion prompts.")
    course_mode: bool = Field(False, description="Course clips: 832x480, 10 fps, 17 frames a scene.")
    course_template: str = Field("auto", description="A template's name, or auto to choose by topic.")
    course_few_shot: bool = Field(False, description="Put worked examples of the template into diffusion prompts.")

    use_rag: bool = Field(False, description="Say what the books say, with pages.")
    rag_mode: Literal["semantic", "overlay"] = Field(
        "semantic", description="Cues into each scene, or the context as one block."
    )
    rag_query: str = Field("", max_length=300, description="One query for all scenes instead of each scene's own.")
    rag_top_k: int | None = Field(None, ge=1, le=20, description="Passages a scene. Empty: T2V_RAG_TOP_K.")
    book_ids: list[str] = Field(default_factory=list, description="Books to search. Empty: all.")

    use_llm_planner: bool = Field(False, description="Let a language model write the plan; the rules stand in for it.")
    planner_model_id: str = Field(
        "",
        max_length=300,
        description="A chat model in data/planner_models.yaml, or a folder that holds one. Empty: T2V_PLANNER_MODEL_ID.",
    )

    engine: Literal["local", "diffusion", "manim"] = Field("local", description="What draws the frames.")
    seconds: float | None = Field(None, gt=0, le=600, description="Length of the whole video, in seconds.")
    frames: int | None = Field(None, ge=1, le=36000, description="Frames of the whole video.")
    scene_frames: int | None = Field(None, ge=1, le=3600, description="Frames of each scene.")
    fps: float | None = Field(None, ge=1, le=60, description="Frames a second.")
    width: int | None = Field(None, ge=128, le=3840, description="Width in pixels.")
    height: int | None = Field(None, ge=128, le=3840, description="Height in pixels.")
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="Empty: drawn once and recorded.")
    theme: Literal["light", "dark", "contrast"] = Field(
        "light", description="Colours of drawn scenes (local and Manim)."
    )
    show_sources: bool = Field(True, description="Draw the source footer.")
    fallback_local_on_fail: bool = Field(True, description="Draw a scene locally where the engine fails.")
    plan: ScenePlan | None = Field(None, description="A plan to draw as it stands; nothing is planned again.")


class VideoRequest(DiffusionOptions, ManimOptions, _Video):
    """One video. A value that is None is chosen by the engine, the template or the reading time.

    The command line's flags, the page's fields and T2V_ variables carry these names. A preset is put in
    when the request is made, so that what is saved of a request says every number.
    """

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data.get("preset"):
            return data
        chosen = preset(str(data["preset"]))
        if data.get("engine", "local") != "diffusion":
            raise ValueError("--preset needs --engine diffusion; the other engines have --course-mode")
        if data.get("course_mode") and chosen.name not in ("course", "course-lora"):
            raise ValueError(f"--course-mode and --preset {chosen.name} exclude each other: both set size and length")
        if chosen.needs_adapter and not data.get("adapter"):
            raise ValueError(f"--preset {chosen.name} needs --adapter or --lora-path: it is made for a LoRA")
        return {**data, **_added(chosen, data)}

    @model_validator(mode="after")
    def _choices_do_not_compete(self) -> VideoRequest:
        given = [name for name in LENGTHS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"--{' and --'.join(name.replace('_', '-') for name in given)} exclude each other; give one"
            )
        if not self.use_rag and (self.rag_query or self.rag_top_k is not None):
            raise ValueError("--rag-query and --rag-top-k need --use-rag")
        if self.plan is not None and self.use_rag:
            raise ValueError("--plan and --use-rag exclude each other: a plan already holds its evidence")
        if self.plan is not None and self.use_llm_planner:
            raise ValueError("--plan and --use-llm-planner exclude each other: a plan is drawn as it stands")
        if self.manim_scenes == "written" and self.engine != "manim":
            raise ValueError("--manim-scenes written needs --engine manim")
        if self.manim_code and self.manim_scenes != "written":
            raise ValueError("manim_code is code of written scenes: it needs manim_scenes written")
        return self

    def diffusion(self) -> DiffusionOptions:
        """What only the diffusion engine reads."""
        return DiffusionOptions(**{name: getattr(self, name) for name in DIFFUSION_FIELDS})

    def manim(self) -> ManimOptions:
        """What only the Manim engine reads."""
        return ManimOptions(**{name: getattr(self, name) for name in MANIM_FIELDS})


def unread(request: VideoRequest) -> list[str]:
    """What of a request for another engine only diffusion reads, in a sentence."""
    idle = [name for name, field in DiffusionOptions.model_fields.items() if getattr(request, name) != field.default]
    if not idle or request.engine == "diffusion":
        return []
    return [f"Only --engine diffusion reads {', '.join('--' + name.replace('_', '-') for name in idle)}."]


def _added(chosen: Preset, data: dict[str, Any]) -> dict[str, Any]:
    """What a preset adds where a request is made; nothing where one that already holds it is read again."""
    again = set(VideoRequest.model_fields) <= set(data)
    return {} if again else chosen.beside(data)


def parse_request(data: dict[str, Any]) -> VideoRequest:
    """A request from flags or fields. Raises InputError that names the field, in its details too."""
    try:
        return VideoRequest.model_validate(data)
    except ValidationError as error:
        raise wrong_fields("bad_request", error, known=VideoRequest.model_fields) from error
