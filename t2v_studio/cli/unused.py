"""Flags that change nothing in what is asked for: each is said before the run, so that nobody waits for its effect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from t2v_studio.cli.flags import flag
from t2v_studio.production.request import MANIM_FIELDS, VideoRequest, unread

_OF_PROMPTS = ("style", "course_few_shot")
_OF_RETRIEVAL = ("rag_mode", "book_ids")
_OF_THE_PLAN = ("audience", "objective", "style", "course_template", "course_few_shot", "planner_model_id")
_OF_OVERLAY = ("theme", "show_sources")
_OF_FALLBACK = ("strict", "fallback_local_on_fail")
_OF_DRAWING = (
    *_OF_OVERLAY, *_OF_FALLBACK, *MANIM_FIELDS, "attention", "compile_blocks", "text_overlay", "retries",
)  # fmt: skip


def unused(request: VideoRequest, typed: Collection[str], *, makes: bool = True) -> list[str]:
    """Sentences on the flags that were typed and do nothing here. makes: whether a video is made, or its plan alone."""
    return [*_of_engine(request, typed, makes), *_of_lesson(request, typed), *([] if makes else _of_plan(typed))]


def _of_engine(request: VideoRequest, typed: Collection[str], makes: bool) -> Iterator[str]:
    engine = request.engine
    yield from unread(request)
    if engine != "diffusion" and request.plan is None and makes and (idle := _flags(_OF_PROMPTS, typed)):
        yield f"{idle}: words for the prompts of diffusion, and --engine {engine} reads none."
    if engine != "manim" and (idle := _flags(MANIM_FIELDS, typed)):
        yield f"Only --engine manim reads {idle}."
    if engine == "manim" and request.manim_scenes != "written" and (idle := _flags(MANIM_FIELDS[1:], typed)):
        yield f"{idle}: nothing without --manim-scenes written."
    if engine == "local" and makes and (idle := _flags(_OF_FALLBACK, typed)):
        yield f"{idle}: nothing with --engine local, which no other engine stands in for."
    if engine == "diffusion" and makes and not request.text_overlay and (idle := _flags(_OF_OVERLAY, typed)):
        yield f"{idle}: nothing with --no-text-overlay, as no words are drawn over the frames."
    if engine == "diffusion" and "lora_negative_boost" in typed and not _may_have_profile(request):
        yield "--lora-negative-boost: nothing without a prompt profile (--lora-prompt-profile academic_infographic)."


def _of_lesson(request: VideoRequest, typed: Collection[str]) -> Iterator[str]:
    if request.plan is not None:
        other = ("topic",) if request.topic != request.plan.topic else ()
        if idle := _flags((*other, *_OF_THE_PLAN), typed):
            yield f"{idle}: nothing beside --plan, which is drawn as it stands."
    elif "planner_model_id" in typed and not request.use_llm_planner:
        yield "--planner-model-id: nothing without --use-llm-planner; the rules write the plan."
    if not request.use_rag and (idle := _flags(_OF_RETRIEVAL, typed)):
        yield f"{idle}: nothing without --use-rag; no book is read."


def _of_plan(typed: Collection[str]) -> Iterator[str]:
    if idle := _flags(_OF_DRAWING, typed):
        yield f"{idle}: nothing in a plan; nothing is drawn."


def _may_have_profile(request: VideoRequest) -> bool:
    profile = request.lora_prompt_profile
    return profile == "academic_infographic" or (profile == "auto" and bool(request.adapter))


def _flags(names: Iterable[str], typed: Collection[str]) -> str:
    return ", ".join(flag(name) for name in names if name in typed)
