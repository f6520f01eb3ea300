"""What a person may choose about diffusion: one model behind the flags, the page's fields and the record."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Quality = Literal["fast", "balanced", "high"]
Tokens = Annotated[int, Field(ge=0, le=512)]


class DiffusionOptions(BaseModel):
    """Choices that only diffusion reads. None or an empty text: from the preset, the adapter's card or the model's family."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    model_id: str = Field(
        "",
        max_length=200,
        description="Model's name or id in `t2v models list`. Empty: T2V_MODEL_ID, else Wan 2.1 14B.",
    )
    preset: str = Field(
        "",
        max_length=60,
        description="A named set of choices (see `t2v models presets`); what is given beside it wins.",
    )
    quality: Quality | None = Field(
        None, description="The family's frames, steps and guidance for this quality. Empty: balanced."
    )
    steps: int | None = Field(None, ge=1, le=200, description="Denoising steps. Empty: the family's.")
    guidance: float | None = Field(
        None, ge=0, le=30, description="Guidance scale; 1 leaves the negative prompt out and halves the work."
    )
    flow_shift: float | None = Field(None, gt=0, le=20, description="Flow shift of the scheduler. Empty: by the size.")

    adapter: str = Field("", max_length=80, description="Id of a LoRA in `t2v adapters list`.")
    lora_scale: float | None = Field(
        None, ge=-3, le=3, description="Strength of the LoRA, within the limits of its card. Empty: its card's own."
    )
    lora_trigger: str = Field("", max_length=80, description="Trigger word, put first. Empty: its card's own.")
    lora_prompt_profile: Literal["auto", "none", "academic_infographic"] = Field(
        "auto", description="Style words for a LoRA; auto: academic_infographic where one is on."
    )
    prompt_writer: str = Field(
        "",
        max_length=300,
        description="Language model that writes the prompts: a text adapter, a chat model (`t2v models chat`) or a folder. Empty: the rules.",
    )
    lora_negative_boost: bool = Field(True, description="With the profile: more negative words.")
    diagram_lock: bool = Field(False, description="Words that hold the picture to one flat diagram on a plain ground.")

    attention: Literal["auto", "native", "cudnn", "flash3"] = Field(
        "auto", description="Attention kernel; auto: the fastest that passes a self-test."
    )
    compile_blocks: Literal["auto", "on", "off"] = Field(
        "auto", description="Compile the transformer's blocks; auto: where it pays for itself."
    )
    step_cache: Literal["off", "first_block", "magcache"] = Field(
        "off", description="Leave out steps that change little; needs 20 steps or more."
    )
    cfg_cutoff: float | None = Field(
        None, ge=0, le=1, description="Share of the steps after which guidance ends; faster. Empty: never."
    )
    text_overlay: bool = Field(True, description="Draw titles, formulas and captions over the frames of diffusion.")
    retries: bool = Field(True, description="Draw a bad scene again, by its cause, before it counts as failed.")
    evidence_room: Tokens | dict[str, Tokens] | None = Field(
        None,
        description="Tokens kept free for retrieved words, by scene id or one number for all scenes; a pair sets it, alike in both arms. Empty: what is needed.",
    )

    def room(self, scene: str) -> int:
        """Tokens that this scene's prompt keeps free for retrieved words, at least."""
        room = self.evidence_room or 0
        return room if isinstance(room, int) else room.get(scene, 0)

    @model_validator(mode="after")
    def _choices_agree(self) -> DiffusionOptions:
        if not self.adapter and self.lora_scale is not None:
            raise ValueError("--lora-scale needs --adapter or --lora-path")
        if not self.adapter and self.lora_trigger:
            raise ValueError("--lora-trigger needs --adapter or --lora-path")
        if self.step_cache != "off" and self.steps is not None and self.steps < 20:
            raise ValueError(f"--step-cache needs 20 steps or more, and there are {self.steps}: give more with --steps")
        if self.cfg_cutoff is not None and self.guidance is not None and self.guidance <= 1:
            raise ValueError(
                "--cfg-cutoff and --guidance 1 exclude each other: without guidance there is nothing to end"
            )
        return self
