"""Prompts of a model whose tokenizer is not on this disk: all of their parts, as nobody can count their tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from t2v_studio.engines.diffusion.options import DiffusionOptions
from t2v_studio.engines.diffusion.prompts import FinalPrompt, final_prompts
from t2v_studio.planning.plan import ScenePlan

_NO_LIMIT = 1_000_000


def untrimmed_prompts(plan: ScenePlan, options: DiffusionOptions, **words: str) -> list[FinalPrompt]:
    """`final_prompts` without a tokenizer: numbers of tokens and the limit are 0. words: trigger, profile of a card."""
    found = final_prompts(plan, options, _Whole(), _NO_LIMIT, **words)
    return [
        replace(one, token_count=0, limit=0, evidence_tokens=0, negative_token_count=0, read="", notices=())
        for one in found
    ]


class _Whole:
    """In a tokenizer's place: every text is one token."""

    def __call__(self, text: str, **_: Any) -> dict[str, list[str]]:
        return {"input_ids": [text]}

    def decode(self, tokens: list[str], **_: Any) -> str:
        return "".join(tokens)
