"""How a LoRA is trained: one model behind the YAML recipes, the flags of `t2v train` and the form of the Train tab."""

from __future__ import annotations

import math
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from t2v_studio.adapters.text_recipe import TextRecipe, parse_text_recipe
from t2v_studio.errors import InputError, NotFoundError, wrong_fields
from t2v_studio.workspace import REPOSITORY

Kind = Literal["video", "text"]
FOLDER = REPOSITORY / "training" / "recipes"
GROUPS = ("Model", "Clips", "Adapter", "Learning", "Objective", "Speed and memory", "Saving", "Checking")


def _group(name: str) -> dict[str, Any]:
    return {"group": name}


_MODEL, _CLIPS, _ADAPTER, _LEARNING, _OBJECTIVE, _SPEED, _SAVING, _CHECKING = (_group(name) for name in GROUPS)


class Recipe(BaseModel):
    """Every choice of one training. A value that is None is chosen by the model's family."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    name: str = Field("own", min_length=1, max_length=60, description="What this recipe is called.")
    about: str = Field("", max_length=400, description="What it is for.")

    model: str = Field(
        "wan2.1-1.3b", max_length=300, description="Base model: a name of `t2v models list`.", json_schema_extra=_MODEL
    )
    dtype: Literal["bf16", "fp32"] = Field(
        "bf16",
        description="Number format of the frozen base. The adapter is fp32 in any case.",
        json_schema_extra=_MODEL,
    )
    base_quantised: Literal["none", "int8", "nf4"] = Field(
        "none",
        description="Hold the frozen base in fewer bits (needs CUDA). Wan is said to lose quality under nf4: try int8 first.",
        json_schema_extra=_MODEL,
    )

    trigger: str = Field(
        "",
        max_length=60,
        description="Word that stands before every caption and calls the style.",
        json_schema_extra=_CLIPS,
    )
    frame_buckets: list[int] = Field(
        default_factory=lambda: [17, 33],
        min_length=1,
        max_length=12,
        description="Clip lengths in frames; a clip goes to the longest that fits. Wan: 4k+1, LTX: 8k+1.",
        json_schema_extra=_CLIPS,
    )
    size_buckets: list[str] = Field(
        default_factory=lambda: ["832x480"],
        min_length=1,
        max_length=12,
        description="Sizes, width x height; a clip goes to the nearest shape, is scaled to cover it and cropped in the middle.",
        json_schema_extra=_CLIPS,
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=120,
        description="Frames a second that the model learns. Empty: the family's own. Faster clips are thinned out; slower ones are taken as they are.",
        json_schema_extra=_CLIPS,
    )
    frame_extraction: Literal["head", "chunk", "uniform"] = Field(
        "head",
        description="head: the first frames. chunk: one row for each stretch of a long clip. uniform: frames spread over the whole clip.",
        json_schema_extra=_CLIPS,
    )
    max_upscale: float = Field(
        2.0,
        ge=1,
        le=8,
        description="A clip that must be enlarged more than this is left out.",
        json_schema_extra=_CLIPS,
    )
    scenario_filter: list[str] = Field(
        default_factory=list,
        description="Only clips of these scenarios or topics. Empty: all.",
        json_schema_extra=_CLIPS,
    )

    rank: int = Field(
        16, ge=1, le=512, description="Rank of the adapter: how much it can learn.", json_schema_extra=_ADAPTER
    )
    alpha: float = Field(
        32, gt=0, le=1024, description="Strength: the change is multiplied by alpha / rank.", json_schema_extra=_ADAPTER
    )
    lora_dropout: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Share of the adapter's inputs that are left out at random.",
        json_schema_extra=_ADAPTER,
    )
    targets: list[str] | None = Field(
        default_factory=lambda: ["to_q", "to_k", "to_v", "to_out.0"],
        description="Linear layers that get an adapter. Empty: all that the family names.",
        json_schema_extra=_ADAPTER,
    )
    scale: float = Field(
        0.7,
        gt=0,
        le=2,
        description="Strength that the adapter's card recommends for Generate.",
        json_schema_extra=_ADAPTER,
    )
    start_from: str = Field(
        "",
        max_length=300,
        description="Id of an adapter in the catalogue to go on from. Empty: start fresh.",
        json_schema_extra=_ADAPTER,
    )

    steps: int | None = Field(
        3000,
        ge=1,
        le=1_000_000,
        description="Optimiser steps. Empty: as many as the epochs need.",
        json_schema_extra=_LEARNING,
    )
    epochs: float | None = Field(
        None, gt=0, le=10_000, description="Rounds through the clips, instead of steps.", json_schema_extra=_LEARNING
    )
    batch_size: int = Field(1, ge=1, le=256, description="Clips in one forward pass.", json_schema_extra=_LEARNING)
    accumulation: int = Field(
        8, ge=1, le=1024, description="Forward passes before one optimiser step.", json_schema_extra=_LEARNING
    )
    optimiser: Literal["adamw", "adamw8bit"] = Field(
        "adamw", description="adamw8bit keeps its state in 8 bits (bitsandbytes).", json_schema_extra=_LEARNING
    )
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Peak learning rate.", json_schema_extra=_LEARNING)
    schedule: Literal["constant", "constant_with_warmup", "cosine", "linear"] = Field(
        "constant_with_warmup",
        description="How the learning rate moves, in optimiser steps.",
        json_schema_extra=_LEARNING,
    )
    warmup_steps: int = Field(
        100,
        ge=0,
        le=100_000,
        description="Optimiser steps over which the rate grows from 0.",
        json_schema_extra=_LEARNING,
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's memory of the gradient.", json_schema_extra=_LEARNING)
    beta2: float = Field(0.99, ge=0, lt=1, description="AdamW's memory of its square.", json_schema_extra=_LEARNING)
    weight_decay: float = Field(1e-3, ge=0, le=1, description="Pull of the weights to 0.", json_schema_extra=_LEARNING)
    clip_norm: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Largest norm of the gradient of an optimiser step; 0 does not clip.",
        json_schema_extra=_LEARNING,
    )
    seed: int = Field(
        42, ge=0, le=2**31 - 1, description="Order of clips, noise and first weights.", json_schema_extra=_LEARNING
    )

    flow_shift: float | None = Field(
        None,
        gt=0,
        le=20,
        description="Shift of the noise levels towards more noise. Empty: the family's own for this height (Wan: 3 up to 480 lines, 5 above).",
        json_schema_extra=_OBJECTIVE,
    )
    sigma_spread: float = Field(
        1.0, gt=0, le=5, description="Standard deviation of the logit of the noise level.", json_schema_extra=_OBJECTIVE
    )
    stratified: bool = Field(
        True,
        description="Spread the noise levels evenly over the passes of one optimiser step: calmer curves, same mean.",
        json_schema_extra=_OBJECTIVE,
    )
    prompt_dropout: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Share of passes with the empty prompt, which guidance needs.",
        json_schema_extra=_OBJECTIVE,
    )

    checkpointing: int = Field(
        1,
        ge=0,
        le=64,
        description="Compute the insides of every n-th block again instead of keeping them; 0 keeps all.",
        json_schema_extra=_SPEED,
    )
    compile_blocks: bool = Field(
        False,
        description="Compile the blocks: slow first steps, then 14 to 27 % quicker on a CPU. Without a compiler it is left out, and that is said.",
        json_schema_extra=_SPEED,
    )
    latents_dtype: Literal["bf16", "fp32"] = Field(
        "bf16", description="Number format of cached clips and captions.", json_schema_extra=_SPEED
    )
    workers: int = Field(2, ge=0, le=32, description="Threads that read cached clips ahead.", json_schema_extra=_SPEED)

    save_every: int = Field(
        200, ge=1, le=100_000, description="Optimiser steps between checkpoints.", json_schema_extra=_SAVING
    )
    keep_checkpoints: int = Field(
        2, ge=1, le=100, description="Checkpoints that are kept for going on.", json_schema_extra=_SAVING
    )
    keep_top_k: int = Field(
        3,
        ge=0,
        le=100,
        description="Adapters that stay, by mean rank; the others are moved aside. 0 keeps all.",
        json_schema_extra=_SAVING,
    )
    export_comfyui: bool = Field(
        True, description="Write the adapter with ComfyUI's names too.", json_schema_extra=_SAVING
    )
    push_to: str = Field(
        "",
        max_length=120,
        description="Private repository on the Hugging Face hub to push the adapter to. Empty: no push.",
        json_schema_extra=_SAVING,
    )
    logger: Literal["none", "tensorboard", "trackio"] = Field(
        "none", description="A second log beside the JSON lines.", json_schema_extra=_SAVING
    )

    validate_every: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Optimiser steps between checks. Empty: once an epoch.",
        json_schema_extra=_CHECKING,
    )
    validation_clips: int = Field(
        16, ge=0, le=1000, description="Held-out clips whose loss is measured, at most.", json_schema_extra=_CHECKING
    )
    sigma_quantiles: int = Field(
        9, ge=1, le=50, description="Noise levels at which their loss is measured.", json_schema_extra=_CHECKING
    )
    validation_prompts: str = Field(
        "validation_prompts.yaml",
        max_length=300,
        description="Fixed prompts that are sampled at each check, from training/recipes or a path. Empty: none.",
        json_schema_extra=_CHECKING,
    )
    sample_frames: int = Field(17, ge=1, le=257, description="Frames of a sample.", json_schema_extra=_CHECKING)
    sample_size: str = Field("832x480", description="Size of a sample, width x height.", json_schema_extra=_CHECKING)
    sample_steps: int = Field(16, ge=1, le=200, description="Denoising steps of a sample.", json_schema_extra=_CHECKING)
    sample_guidance: float = Field(4.8, ge=0, le=30, description="Guidance of a sample.", json_schema_extra=_CHECKING)
    clip_weights: str = Field(
        "",
        max_length=500,
        description="Folder of CLIP weights. Empty: the CLIP score is unavailable.",
        json_schema_extra=_CHECKING,
    )
    max_regression: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share by which an adapter may be worse than the base in a measure before validation fails.",
        json_schema_extra=_CHECKING,
    )

    @field_validator("size_buckets", "sample_size")
    @classmethod
    def _sizes_can_be_read(cls, value: Any) -> Any:
        for text in [value] if isinstance(value, str) else value:
            read_size(text)
        return value

    @model_validator(mode="before")
    @classmethod
    def _epochs_stand_for_steps(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("epochs") is not None and "steps" not in data:
            return {**data, "steps": None}
        return data

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("steps and epochs exclude each other; give one and leave the other empty")
        if self.start_from and self.base_quantised != "none":
            raise ValueError("start_from needs base_quantised none")
        return self

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each bucket."""
        return [read_size(text) for text in self.size_buckets]

    def steps_for(self, batches: int, world: int = 1) -> int:
        """Optimiser steps of the whole run: as given, or as many as the epochs need."""
        if self.steps is not None:
            return self.steps
        return max(1, math.ceil((self.epochs or 1) * batches / (self.accumulation * world)))


def read_size(text: str) -> tuple[int, int]:
    """`832x480` as (832, 480). Raises ValueError."""
    width, _, height = text.lower().replace("×", "x").replace(" ", "").partition("x")
    if not (width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 4096 and 16 <= int(height) <= 4096):
        raise ValueError(f"{text!r} is not a size such as 832x480")
    return int(width), int(height)


def parse_recipe(data: dict[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from fields. Raises InputError that names the field, with the nearest name for an unknown one."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        see = "See the fields with: t2v train video --help"
        raise wrong_fields("bad_recipe", error, where, known=Recipe.model_fields, hint=see) from error


def recipe_files(kind: Kind = "video") -> dict[str, Path]:
    """The recipes that ship, by name: of video models, or of language models (`kind: text` in the file)."""
    paths = (path for path in sorted(FOLDER.glob("*.yaml")) if path.stem != "validation_prompts")
    return {path.stem: path for path in paths if _kind_in(path) == kind}


def _kind_in(path: Path) -> str:
    """A file that cannot be read counts as a video recipe, so that it is shown with its error."""
    try:
        return kind_of(_read_yaml(path))
    except InputError:
        return "video"


def kind_of(data: dict[str, Any]) -> str:
    """What a recipe's fields train: video where they name nothing."""
    return str(data.get("kind", "video"))


def read_recipe(name_or_path: str | Path, **changes: Any) -> Recipe:
    """A recipe that ships, or a YAML file, with `changes` put over it.

    steps and epochs exclude each other, so a change of one empties the other. Raises NotFoundError,
    InputError.
    """
    data, where = _fields_of(name_or_path, "video", changes)
    return parse_recipe(data, where)


def read_text_recipe(name_or_path: str | Path, **changes: Any) -> TextRecipe:
    """`read_recipe` for a language model."""
    data, where = _fields_of(name_or_path, "text", changes)
    return parse_text_recipe(data, where)


def _fields_of(name_or_path: str | Path, kind: Kind, changes: dict[str, Any]) -> tuple[dict[str, Any], str]:
    files = recipe_files(kind)
    path = (recipe_files("text") | recipe_files("video")).get(str(name_or_path)) or Path(name_or_path).expanduser()
    if not path.is_file():
        near = get_close_matches(str(name_or_path), list(files), n=1, cutoff=0.4)
        hint = f'Did you mean "{near[0]}"?' if near else f"Use a YAML file, or one of: {', '.join(files)}."
        raise NotFoundError("unknown_recipe", f"recipe: there is no {name_or_path}.", hint)
    data = _read_yaml(path)
    if kind_of(data) != kind:
        trains = "a video model" if kind == "text" else "a language model"
        other = "t2v train video" if kind == "text" else "t2v train text"
        raise InputError("wrong_recipe_kind", f"recipe: {name_or_path} trains {trains}.", f"Start it with: {other}")
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if changes.get(one) is not None and other not in changes:
            data[other] = None
    return {"name": path.stem} | data | changes, path.name


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError("bad_yaml", f"{path.name} cannot be read: {error}.", "Correct the YAML.") from error
    if not isinstance(data, dict):
        raise InputError("bad_yaml", f"{path.name} holds no fields.", "Write one field a line: rank: 16")
    return data


def write_recipe(recipe: Recipe | TextRecipe, path: Path) -> None:
    """The recipe as YAML that `read_recipe` or `read_text_recipe` reads back to the same one."""
    import yaml

    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
