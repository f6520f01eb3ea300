"""Text sets as the interfaces see them: from sources to checked pairs. `Studio.text_sets` is one of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class TextDesk:
    """Sets of text for language models. Paths in, plain dicts out, ready for JSON."""

    def validate(
        self, paths: Sequence[Path], *, tokenizer: Path | None = None, max_length: int = 1024, dry_run: bool = False
    ) -> dict[str, Any]:
        """Check files or folders of rows: ok, rows, shapes, splits, counts, findings[], code, tokens, unchecked.

        tokenizer: folder of a local one, for the histogram. dry_run: run Manim rows in the sandbox without drawing.
        Raises StudioError where a file cannot be read at all.
        """
        from t2v_studio.datasets.text_pairs import tokens
        from t2v_studio.datasets.text_pairs.code import tools
        from t2v_studio.datasets.text_pairs.files import read_sets
        from t2v_studio.datasets.text_pairs.validate import validate

        count = tokens.counter(tokenizer) if tokenizer is not None else None
        return validate(read_sets(paths), tools=tools(dry_run=dry_run), count=count, max_length=max_length).as_dict()
