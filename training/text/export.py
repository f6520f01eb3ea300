"""An adapter of the catalogue as files for other programs: GGUF, merged model, Modelfile, card."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.catalogue import adapter
from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.runs import write_json
from t2v_studio.adapters.text_adapters import peft_folder
from t2v_studio.adapters.text_card import model_card
from t2v_studio.errors import unknown_name
from training.text.base import load_tokenizer
from training.text.modelfile import modelfile, ollama_name
from training.text.session import TextSession

MERGED = "merged"
BASE_FILE = "base.gguf"


def export_run(session: TextSession) -> dict[str, Any]:
    """What run.json asks for: adapter, target, folder, options. Result: adapter, target, files, notes."""
    asked = session.run.info["export"]
    card = adapter(session.workspace, session.run.info["adapter"])
    folder = Path(asked["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    session.report("exporting", message=asked["target"])
    files, notes = export(session, card, asked["target"], folder, asked.get("options") or {})
    result = {
        "adapter": card.id,
        "target": asked["target"],
        "folder": str(folder),
        "files": [{"path": str(path), "bytes": _size(path)} for path in files],
        "notes": notes,
    }
    write_json(session.run.folder / "check.json", result)
    return result


def export(
    session: TextSession, card: AdapterCard, target: str, folder: Path, options: dict[str, Any]
) -> tuple[list[Path], list[str]]:
    """Files and notes of one target. Raises StudioError, among them those of a part that is not on this machine."""
    if target not in TARGETS:
        raise unknown_name("target", target, list(TARGETS))
    return TARGETS[target](session, card, folder, options)


Exported = tuple[list[Path], list[str]]


def _gguf(session: TextSession, card: AdapterCard, folder: Path, options: dict[str, Any]) -> Exported:
    from training.text.gguf_adapter import read_lora, write_gguf_adapter

    own = session.workspace.adapter(card.id)
    lora = read_lora(own / WEIGHTS, own)
    path = folder / f"{ollama_name(card.name)}-lora.gguf"
    write_gguf_adapter(lora, session.base.family, session.base.config, path, card.name)
    return [path], ["Read back and compared with the adapter, to the last bit."]


def _merged(session: TextSession, card: AdapterCard, folder: Path, options: dict[str, Any]) -> Exported:
    from training.text.merge import merge

    target = folder / MERGED
    with tempfile.TemporaryDirectory(prefix="t2v-peft-") as name:
        done = merge(session.base, peft_folder(session.workspace, card, Path(name)), target)
    words = f"Logits of the merged model differ by {done['difference']:.2g} from base and adapter, as {done['dtype']}."
    return [target], [words]


def _merged_gguf(session: TextSession, card: AdapterCard, folder: Path, options: dict[str, Any]) -> Exported:
    from training.text.llama_cpp import check, convert

    asked = options.get("llama_cpp") or session.settings.llama_cpp_path
    named = Path(asked) if asked else None
    outtype = str(options.get("outtype") or "q8_0")
    check(named, outtype)
    notes: list[str] = []
    if not (folder / MERGED / "config.json").is_file():
        _, notes = _merged(session, card, folder, options)
    session.report("converting", message=outtype)
    path = folder / f"{ollama_name(card.name)}-{outtype}.gguf"
    return [convert(folder / MERGED, path, llama_cpp=named, outtype=outtype)], notes


def _modelfile(session: TextSession, card: AdapterCard, folder: Path, options: dict[str, Any]) -> Exported:
    """The Modelfile, with the merged GGUF where there is one, else with the adapter's beside the base."""
    tokenizer = load_tokenizer(session.base)
    whole = next(
        (path for path in sorted(folder.glob(f"{ollama_name(card.name)}-*.gguf")) if "-lora" not in path.name), None
    )
    files, notes = [], []
    base, beside = str(options.get("base") or ""), ""
    if whole is not None and not base:
        base = f"./{whole.name}"
    else:
        (file,), _ = _gguf(session, card, folder, options)
        files, beside = [file], file.name
        if not base:
            base = f"./{BASE_FILE}"
            notes.append(
                f"Put the GGUF of {session.base.repo_id} beside it as {BASE_FILE}, or name Ollama's own with the option base: "
                "it must be the same model."
            )
    path = folder / "Modelfile"
    text = modelfile(session.recipe, tokenizer, base=base, adapter=beside, eos=_end_tokens(session, tokenizer))
    path.write_text(text, encoding="utf-8")
    return [path, *files], notes


def _end_tokens(session: TextSession, tokenizer: Any) -> list[str]:
    """The tokens at which the base ends, as its generation_config.json and config.json name them."""
    from t2v_studio.adapters.runs import read_json

    found = read_json(session.base.folder / "generation_config.json").get("eos_token_id")
    ids = found if found is not None else session.base.config.get("eos_token_id")
    return [
        str(tokenizer.convert_ids_to_tokens(one))
        for one in (ids if isinstance(ids, list) else [ids])
        if one is not None
    ]


def _card(session: TextSession, card: AdapterCard, folder: Path, options: dict[str, Any]) -> Exported:
    path = folder / "README.md"
    path.write_text(model_card(session.workspace, card), encoding="utf-8")
    return [path], []


TARGETS: dict[str, Callable[[TextSession, AdapterCard, Path, dict[str, Any]], Exported]] = {
    "gguf": _gguf,
    "merged": _merged,
    "merged_gguf": _merged_gguf,
    "modelfile": _modelfile,
    "card": _card,
}


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) if path.is_dir() else path.stat().st_size
