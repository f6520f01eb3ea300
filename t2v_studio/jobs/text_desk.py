"""Text sets as the interfaces see them: from sources to checked pairs. `Studio.text_sets` is one of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import InputError, StudioError, plural, unknown_name
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    from t2v_studio.datasets.text_pairs.captions import Captioner

CAPTIONERS = ("rules", "local", "endpoint")
Rows = list[dict[str, Any]]


class TextDesk:
    """Sets of text for language models. Paths in, plain dicts out, ready for JSON."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

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

    def extract_manim_docs(self, path: str | Path, output: Path, **options: Any) -> dict[str, Any]:
        """Snippets of documentation as JSONL; returns counts, rows and output.

        path: a folder or file, or "manim" for the installed package. options: see `snippets.extract`.
        """
        from t2v_studio.datasets.text_pairs.snippets import extract, installed_package

        asked = Path(path).expanduser()
        rows, counts = extract(installed_package() if str(path) == "manim" and not asked.exists() else asked, **options)
        if not rows:
            raise StudioError(
                "empty_set",
                f"No snippet was found in {plural(counts.get('files', 0), 'file')}.",
                "Try --min-lines 1 or --include-non-manim.",
                counts=counts,
            )
        return {"rows": len(rows), "counts": counts, "output": str(_write(output, rows))}

    def extract_pairs(
        self, paths: Sequence[Path], output: Path, *, source: str = "", license: str = ""
    ) -> dict[str, Any]:
        """Pairs of instruction and code as JSONL, flattened code mended; what was rejected lies beside it."""
        from t2v_studio.datasets.text_pairs.extract_pairs import extract_pairs
        from t2v_studio.datasets.text_pairs.files import read_sets

        rows, rejected, counts = extract_pairs(read_sets(paths), source=source, license=license)
        beside = _beside(output, "rejected", rejected)
        if not rows:
            raise StudioError(
                "empty_set", "No row could be kept.", f"The reasons stand in {beside}.", counts=counts, rejected=beside
            )
        return {"rows": len(rows), "counts": counts, "rejected": beside, "output": str(_write(output, rows))}

    def caption(
        self,
        path: Path,
        output: Path,
        *,
        captioner: str = "rules",
        model: str = "",
        report: Callable[[int], None] = lambda done: None,
    ) -> dict[str, Any]:
        """Snippets with an instruction of at most 60 words each; what failed lies beside it with its reason.

        captioner: rules, local (model: a folder or a registered chat model) or endpoint (T2V_CAPTION_URL).
        """
        from t2v_studio.datasets.text_pairs.captions import caption_all
        from t2v_studio.datasets.text_pairs.files import read_sets

        rows = [row.data for row in read_sets([path]) if not row.fault]
        if not rows or not all(isinstance(row.get("code"), str) for row in rows):
            raise InputError("no_code", f"{path}: its rows have no code field.", "Give what extract-manim-docs wrote.")
        with self._captioner(captioner, model) as (ask, name):
            made, failed = caption_all(rows, ask, name, report)
        beside = _beside(output, "failed", failed)
        if not made:
            raise StudioError("no_captions", f"All {len(failed)} captions failed.", f"See {beside}.", failed=beside)
        counts = {"read": len(rows), "captioned": len(made), "failed": len(failed)}
        return {"rows": len(made), "counts": counts, "failed": beside, "output": str(_write(output, made))}

    def combine(self, paths: Sequence[Path], folder: Path, **options: Any) -> dict[str, Any]:
        """train.jsonl, test.jsonl, dropped.jsonl and counts.json in `folder`; returns the counts. See `combine.combine`."""
        import json

        from t2v_studio.datasets.text_pairs.combine import combine
        from t2v_studio.datasets.text_pairs.files import read_sets, write_text

        folder = Path(folder).expanduser().absolute()
        pairs, dropped, counts = combine(read_sets(paths), **options)
        for split in ("train", "test"):
            rows = [pair.model_dump() for pair in pairs if pair.split == split]
            _write(folder / f"{split}.jsonl", rows)
        _write(folder / "dropped.jsonl", dropped)
        write_text(folder / "counts.json", json.dumps(counts, ensure_ascii=False, indent=2) + "\n")
        return counts | {"folder": str(folder)}

    def process_storyboards(
        self, path: Path, output: Path, *, review: int = 50, min_examples: int = 15, seed: int = 42, **options: Any
    ) -> dict[str, Any]:
        """Rows of style, prompt, negative and tags; a review sample and what a gate refused lie beside them.

        min_examples: scenes with fewer are named in `warnings`. options: see `storyboards.rows_of`.
        """
        import random

        from t2v_studio.datasets.text_pairs.storyboards import read_storyboards, rows_of

        rows, refused, counts = rows_of(read_storyboards(path), seed=seed, **options)
        beside = _beside(output, "rejected", refused)
        if not rows:
            raise StudioError("empty_set", "No row passed the gates.", f"See {beside}.", counts=counts, rejected=beside)
        sample = _beside(output, "review", random.Random(seed).sample(rows, min(review, len(rows))))
        few = [f"{name}: {plural(count, 'row')}" for name, count in counts["per_scene"].items() if count < min_examples]
        made = {"rows": len(rows), "counts": counts, "rejected": beside, "review": sample, "warnings": few}
        return made | {"output": str(_write(output, rows))}

    def plan_upload(self, folder: Path, repo: str, *, private: bool = True) -> dict[str, Any]:
        """What `upload` would send: repo, private, files (name to bytes) and card. Nothing leaves the machine."""
        from t2v_studio.datasets.text_pairs.upload import plan

        return plan(folder, repo, private=private).as_dict()

    def upload(self, folder: Path, repo: str, *, private: bool = True) -> dict[str, Any]:
        """Send a combined set to the hub, with the token in HF_TOKEN; returns repo, private and url. Ask first."""
        import os

        from t2v_studio.datasets.text_pairs.upload import plan, upload

        url = upload(plan(folder, repo, private=private), os.environ.get("HF_TOKEN", ""))
        return {"repo": repo, "private": private, "url": url}

    # --- the sets of this workspace ----------------------------------------------------------
    def sets(self) -> Rows:
        """The sets that the page offers, newest first: name, path, files, bytes, made_at."""
        from t2v_studio.datasets.text_pairs import kept

        return kept.rows(self._workspace)

    def add(self, paths: Sequence[Path], name: str = "") -> dict[str, Any]:
        """Copy files or a folder into a set of the workspace; its row. Raises InputError, NotFoundError, LimitError."""
        from t2v_studio.datasets.text_pairs import kept

        made = kept.add(self._workspace, paths, name)
        return next(row for row in self.sets() if row["name"] == made)

    def remove(self, name: str) -> None:
        """Delete a set of the workspace. Raises NotFoundError."""
        from t2v_studio.datasets.text_pairs import kept

        kept.remove(self._workspace, name)

    def validate_set(self, name: str, *, tokenizer: str = "", max_length: int = 1024) -> dict[str, Any]:
        """`validate` for a set of the workspace; tokenizer: a chat model that is here. Raises StudioError."""
        from t2v_studio.datasets.text_pairs import kept
        from t2v_studio.planning.chat_model import Use, chat_model_folder

        use = Use("tokenizer", "tokenizer", "Choose a chat model that is here.")
        folder = chat_model_folder(tokenizer, self.settings, use) if tokenizer else None
        return self.validate([kept.find(self._workspace, name)], tokenizer=folder, max_length=max_length)

    @property
    def _workspace(self) -> Workspace:
        return Workspace.at(self.settings.home)

    # --- inside ------------------------------------------------------------------------------
    def _captioner(self, name: str, model: str) -> Any:
        """A context that holds the captioner and the name that its rows carry."""
        from t2v_studio.datasets.text_pairs.captions import by_model, by_rules

        if name == "rules":
            return nullcontext((by_rules, "rules"))
        if name == "local":
            return _local(model or self.settings.planner_model_id, self.settings)
        if name == "endpoint":
            from t2v_studio.datasets.text_pairs.endpoint import chat_endpoint

            found, secret = self.settings.caption_model, self.settings.caption_key
            if not self.settings.caption_url:
                raise InputError("no_endpoint", "T2V_CAPTION_URL is not set.", "Set it to https://host/v1.")
            ask = chat_endpoint(self.settings.caption_url, model or found, secret.get_secret_value() if secret else "")
            return nullcontext((by_model(ask), f"endpoint:{model or found}"))
        raise unknown_name("captioner", name, list(CAPTIONERS))


@contextmanager
def _local(model: str, settings: Settings) -> Iterator[tuple[Captioner, str]]:
    """A chat model on this machine, loaded for as long as it captions."""
    from t2v_studio.datasets.text_pairs.captions import by_model
    from t2v_studio.planning.chat_model import ChatModel, chat_model_folder

    with ChatModel(chat_model_folder(model, settings)) as chat:
        yield by_model(chat), f"local:{chat.folder.name}"


def _write(path: Path, rows: Rows) -> Path:
    from t2v_studio.datasets.text_pairs.files import write_jsonl

    return write_jsonl(path, rows)


def _beside(output: Path, what: str, rows: Rows) -> str:
    """Rows that were not kept, in a file beside the output; "" where there are none."""
    output = Path(output)
    if output.suffix.lower() != ".jsonl":
        raise InputError("bad_output", f"output: {output.name} does not end in .jsonl.", "Name it so.")
    target = output.with_name(f"{output.stem}.{what}.jsonl")
    if not rows:
        if target.expanduser().is_file():
            target.expanduser().unlink()
        return ""
    return str(_write(target, rows))
