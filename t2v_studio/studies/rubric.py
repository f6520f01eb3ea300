"""What examiners judge: five criteria on a scale of 1 to 5, with anchors at 1, 3 and 5."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

RUBRIC_VERSION = "1"
SCALE = (1, 2, 3, 4, 5)
COMMENT_AT = 1
"""A score this low needs a reason, as "cannot judge" does."""
CONFIDENCE = {1: "a guess", 2: "fairly sure", 3: "certain"}

INSTRUCTION = (
    "Judge each video on its own, on all five scales. Charge a fault to the one criterion that it fits best. "
    "2 and 4 lie between the described levels. If a video does not let you judge a criterion, say so and why."
)
PREFERENCE = "All in all, which video would you rather show to your students?"
GUESS = "One of the two was planned with a textbook at hand. Which one do you think it was?"


@dataclass(frozen=True)
class Criterion:
    """One scale. `anchors` describes 1, 3 and 5; `hint` says what to look at."""

    key: str
    label: str
    hint: str
    anchors: dict[int, str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: anchor levels become text."""
        return asdict(self) | {"anchors": {str(level): text for level, text in self.anchors.items()}}


CRITERIA = (
    Criterion(
        "correctness",
        "Theoretical correctness",
        "Statements, formulas, signs, arrows and numbers. No automatic measure covers this: it rests on you.",
        {
            1: "A central statement, sign or arrow is wrong, or nothing about the theory is taught.",
            3: "The main idea is right, with one smaller error or one gap that matters.",
            5: "Everything that is said and shown holds for this topic.",
        },
    ),
    Criterion(
        "step_order",
        "Step-order clarity",
        "Whether one step leads to the next. No automatic measure covers this: it rests on you.",
        {
            1: "Steps are missing, or their order cannot be followed.",
            3: "The order can be worked out, with some effort.",
            5: "Each step visibly follows from the one before it.",
        },
    ),
    Criterion(
        "coherence",
        "Temporal coherence",
        "Whether things keep their identity over time.",
        {
            1: "Objects or text appear, melt or jump for no reason.",
            3: "Now and then something flickers or drifts, but the meaning survives.",
            5: "Things stay what they are and change only when the content does.",
        },
    ),
    Criterion(
        "clarity",
        "Visual clarity",
        "Whether text, symbols and layout can be read at normal speed.",
        {
            1: "Text or symbols cannot be read, or parts of the picture collide.",
            3: "It can be read when the video is paused.",
            5: "It reads well at normal speed: good contrast, nothing overlaps.",
        },
    ),
    Criterion(
        "adherence",
        "Topic adherence",
        "Measured against the topic and objective above the videos.",
        {
            1: "It is about something else.",
            3: "It is about the topic, with material that does not belong.",
            5: "It holds what topic and objective ask for, and nothing else.",
        },
    ),
)


def labels() -> dict[str, str]:
    """Criterion key to its label."""
    return {criterion.key: criterion.label for criterion in CRITERIA}


def rubric() -> dict[str, Any]:
    """The whole rubric as data: it is part of the design hash."""
    return {
        "version": RUBRIC_VERSION,
        "scale": list(SCALE),
        "instruction": INSTRUCTION,
        "preference": PREFERENCE,
        "guess": GUESS,
        "comment_required": {"scores": [COMMENT_AT], "cannot_judge": True},
        "criteria": [criterion.as_dict() for criterion in CRITERIA],
    }
