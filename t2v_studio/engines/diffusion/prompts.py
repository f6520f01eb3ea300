"""What a text encoder really reads of a scene's prompt: whole parts within the model's tokens, retrieved words first.

The words before and behind the plan's own parts (trigger, diagram lock, LoRA profile) are added here, and the text is
fitted by the model's own tokenizer. Evidence is what is kept; the other parts are left out whole, least important
first. Both arms of a pair keep the same room free for it (`common_room`), so their other parts stay word for word the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.planning.plan import Scene, ScenePlan
from t2v_studio.planning.prompts import EVIDENCE, OWN, Part, evidence_sentences, parts_of

PROFILE = Part(
    "profile",
    "Academic infographic, flat vector shapes with thin outlines, few muted colours, wide margins, read from left to right.",
)
PROFILE_NEGATIVE = (
    "photograph, film grain, 3D render, glossy surfaces, heavy shadows, handwriting, crowded layout, tilted view"
)
LOCK_FIRST = Part("diagram lock", "One flat diagram on a plain empty ground, drawn with clean lines.")
LOCK_LAST = Part("diagram lock end", "The whole diagram stays in the frame, and only its own parts move.")
LOCK_NEGATIVE = "landscape, room, street, animals, everyday objects, camera movement, zoom, cuts between views"
TRIGGER = "trigger"
IMPORTANCE = (
    "title", "picture", LOCK_FIRST.name, LOCK_LAST.name, OWN, "camera", "style", PROFILE.name, "goal", "audience", "example",
)  # fmt: skip
"""What is kept longest comes first; trigger and evidence are not in question."""

_MISSED = ("title", "picture", LOCK_FIRST.name, LOCK_LAST.name, OWN, PROFILE.name)
"""What a person put there or would look for in the picture, so that its absence is said."""
Tokenizer = Any
"""A tokenizer of transformers: called with a text it gives input_ids; decode() turns them back."""


@dataclass(frozen=True)
class FinalPrompt:
    """One scene's prompt as the model gets it.

    token_count and limit include the tokenizer's special tokens. kept, dropped: names of parts. evidence: whole
    sentences that are in the text; evidence_dropped: those that the limit left no room for. read: the text decoded
    from the tokens that the model reads, so a character that the tokenizer does not know is missing from it.
    """

    scene: str
    text: str
    token_count: int
    limit: int
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    evidence: tuple[str, ...]
    evidence_dropped: tuple[str, ...]
    evidence_tokens: int
    read: str
    negative: str
    negative_token_count: int
    notices: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """The prompt as JSON, for records and `--print-prompt`."""
        return asdict(self)


def final_prompts(
    plan: ScenePlan,
    options: DiffusionOptions,
    tokenizer: Tokenizer,
    limit: int,
    *,
    trigger: str = "",
    profile: str = "",
) -> list[FinalPrompt]:
    """Every scene's prompt, in the order of the plan."""
    return [
        final_prompt(scene, plan, options, tokenizer, limit, trigger=trigger, profile=profile) for scene in plan.scenes
    ]


def final_prompt(
    scene: Scene,
    plan: ScenePlan,
    options: DiffusionOptions,
    tokenizer: Tokenizer,
    limit: int,
    *,
    trigger: str = "",
    profile: str = "",
) -> FinalPrompt:
    """The prompt of one scene, at most `limit` tokens with special ones.

    trigger, profile: of the adapter's card, for options that leave them open. Where evidence leaves no room beside the
    scene's title, whole sentences are dropped from its end, never the first; the notices say so.
    """
    count = _counter(tokenizer)
    styled = _styled(options, profile)
    parts = _parts(scene, options, options.lora_trigger or (trigger if options.adapter else ""), styled)
    head, sentences = next((evidence_sentences(part) for part in parts if part.name == EVIDENCE), ("", []))
    others = [part for part in parts if part.name != EVIDENCE]
    fixed = [part for part in others if part.name in (TRIGGER, IMPORTANCE[0])]
    fits = len(sentences)
    while fits > 1 and count(_text([*fixed, _evidence(head, sentences[:fits])])) > limit:
        fits -= 1
    said = [_evidence(head, sentences[:fits])] if fits else []
    tokens = count(_text(said)) - count("") if said else 0
    room = max(tokens, options.room(scene.id))
    kept = _fitting(others, limit - room, count)
    while len(kept) > 1 and count(_text([*said, *kept])) > limit:
        kept = _without_least(kept)
    text = _text(_ordered(said, kept))
    negative, negative_count = _negative(scene, options, styled, limit, count)
    found = FinalPrompt(
        scene=scene.id,
        text=text,
        token_count=count(text),
        limit=limit,
        kept=tuple(part.name for part in _ordered(said, kept)),
        dropped=tuple(part.name for part in others if part not in kept),
        evidence=tuple(sentences[:fits]),
        evidence_dropped=tuple(sentences[fits:]),
        evidence_tokens=tokens,
        read=_read(tokenizer, text, limit),
        negative=negative,
        negative_token_count=negative_count,
    )
    return FinalPrompt(**{**vars(found), "notices": tuple(_notices(found, plan))})


def common_room(treated: list[FinalPrompt], options: DiffusionOptions) -> dict[str, int] | None:
    """The `evidence_room` that both arms of a pair must keep, so that evidence pushes no other part out of one of them.

    Each scene keeps what its own evidence needs. None where the options keep enough already.
    """
    rooms = {prompt.scene: max(prompt.evidence_tokens, options.room(prompt.scene)) for prompt in treated}
    if all(room <= options.room(scene) for scene, room in rooms.items()):
        return None
    return {scene: room for scene, room in rooms.items() if room}


def _parts(scene: Scene, options: DiffusionOptions, trigger: str, styled: bool) -> list[Part]:
    """Every part in the order in which the model reads them; evidence comes after the trigger alone."""
    planned = parts_of(scene.prompt)
    first = [Part(TRIGGER, trigger)] if trigger and trigger.lower() not in scene.prompt.lower().split() else []
    lock = ([LOCK_FIRST], [LOCK_LAST]) if options.diagram_lock else ([], [])
    retrieved = [part for part in planned if part.name == EVIDENCE]
    own = [part for part in planned if part.name != EVIDENCE]
    return [*first, *retrieved, *lock[0], *([PROFILE] if styled else []), *own, *lock[1]]


def _styled(options: DiffusionOptions, profile: str) -> bool:
    """Whether the academic_infographic profile is on: asked for, or auto with an adapter whose card names no other."""
    if options.lora_prompt_profile == "auto":
        return bool(options.adapter) and profile in ("", "auto", "academic_infographic")
    return options.lora_prompt_profile == "academic_infographic"


def _evidence(head: str, sentences: list[str]) -> Part:
    text = " ".join(sentences)
    return Part(EVIDENCE, f'{head}"{text}"' if head.startswith("Textbook context") else f"{head}{text}")


def _fitting(parts: list[Part], limit: int, count: Callable[[str], int]) -> list[Part]:
    """As many parts as fit, the most important first; trigger, title and the first of all stay whatever the limit."""
    kept: list[Part] = []
    for part in sorted(parts, key=_unimportance):
        tried = [one for one in parts if one in kept or one is part]
        if not kept or _unimportance(part) <= 0 or count(_text(tried)) <= limit:
            kept.append(part)
    return [part for part in parts if part in kept]


def _without_least(parts: list[Part]) -> list[Part]:
    least = max(parts, key=_unimportance)
    return [part for part in parts if part is not least]


def _unimportance(part: Part) -> int:
    return IMPORTANCE.index(part.name) if part.name in IMPORTANCE else -1


def _ordered(said: list[Part], kept: list[Part]) -> list[Part]:
    trigger = [part for part in kept if part.name == TRIGGER]
    return [*trigger, *said, *(part for part in kept if part.name != TRIGGER)]


def _text(parts: list[Part]) -> str:
    return " ".join(f"{part.text}," if part.name == TRIGGER else part.text for part in parts)


def _negative(
    scene: Scene, options: DiffusionOptions, styled: bool, limit: int, count: Callable[[str], int]
) -> tuple[str, int]:
    """The negative prompt: the plan's words and those of lock and profile, each once; the last go where it is too long."""
    lists = [
        scene.negative_prompt,
        LOCK_NEGATIVE if options.diagram_lock else "",
        PROFILE_NEGATIVE if styled and options.lora_negative_boost else "",
    ]
    words = list(dict.fromkeys(word for text in lists for word in (one.strip() for one in text.split(",")) if word))
    while words and count(", ".join(words)) > limit:
        words.pop()
    text = ", ".join(words)
    return text, count(text)


def _counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    held: dict[str, int] = {}

    def count(text: str) -> int:
        if text not in held:
            held[text] = len(_ids(tokenizer, text))
        return held[text]

    return count


def _ids(tokenizer: Tokenizer, text: str, **cut: Any) -> list[int]:
    with warnings.catch_warnings():  # a text over the limit is counted here on purpose
        warnings.simplefilter("ignore")
        return list(tokenizer(text, add_special_tokens=True, verbose=False, **cut)["input_ids"])


def _read(tokenizer: Tokenizer, text: str, limit: int) -> str:
    return str(tokenizer.decode(_ids(tokenizer, text, truncation=True, max_length=limit), skip_special_tokens=True))


def _notices(found: FinalPrompt, plan: ScenePlan) -> list[str]:
    """What of a scene's prompt the model does not get, in words."""
    number = [scene.id for scene in plan.scenes].index(found.scene) + 1
    notices = []
    if found.evidence_dropped:
        notices.append(
            f"Scene {number}: the model reads {found.limit} tokens, so {len(found.evidence)} of "
            f"{len(found.evidence) + len(found.evidence_dropped)} retrieved sentences are in its prompt."
        )
    if found.token_count > found.limit:
        notices.append(
            f"Scene {number}: its prompt has {found.token_count} tokens and the model reads {found.limit}; the end is cut."
        )
    gone = [name for name in found.dropped if name in _MISSED]
    if gone:
        notices.append(f"Scene {number}: no room in the model's {found.limit} tokens for: {', '.join(gone)}.")
    return notices
