"""Answers of a language model that are JSON of a schema: a token that would break it is never drawn."""

from __future__ import annotations

from typing import Any


def held_to(schema: dict[str, Any], tokenizer: Any, model: Any, asked: int) -> Any:
    """A LogitsProcessorList for one `generate` call of one prompt of `asked` tokens.

    An answer that is not cut off by a limit of tokens is one JSON object of the schema. Needs a tokenizer of the
    tokenizers library. Raises ValueError for a schema or tokenizer that cannot be followed, at the call or in it.
    """
    import numpy as np
    import torch
    from llguidance import LLMatcher
    from llguidance.hf import from_tokenizer
    from transformers import LogitsProcessor, LogitsProcessorList

    ends = model.generation_config.eos_token_id
    words = from_tokenizer(tokenizer, n_vocab=model.config.vocab_size, eos_token=tokenizer.eos_token_id if ends is None else ends)  # fmt: skip
    grammar = LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
    matcher = LLMatcher(words, grammar)
    if matcher.is_error():
        raise ValueError(f"the schema cannot be followed ({matcher.get_error()})")

    class Held(LogitsProcessor):  # type: ignore[misc]
        def __init__(self) -> None:
            self.read = asked

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            new = input_ids[0, self.read :].tolist()
            self.read += len(new)
            if new and not matcher.consume_tokens(new):
                raise ValueError(f"the schema was left ({matcher.get_error()})")
            bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
            allowed = np.unpackbits(bits, bitorder="little")[: scores.shape[1]].astype(bool)
            return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), float("-inf"))

    return LogitsProcessorList([Held()])
