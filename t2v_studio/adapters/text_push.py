"""A language model's adapter on the hub: shown first, private unless that was asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from t2v_studio.adapters.catalogue import find
from t2v_studio.adapters.hub import Parcel, check_repo, hub, send
from t2v_studio.adapters.text_adapters import peft_folder
from t2v_studio.adapters.text_card import model_card
from t2v_studio.errors import InputError
from t2v_studio.workspace import Workspace

EXPORTS = "export"
"""In an adapter's folder: what was exported without a folder of its own."""


def plan_push(workspace: Workspace, adapter: str, repo: str, *, private: bool = True) -> Parcel:
    """PEFT's files, the card, and the adapter's GGUF and Modelfile where they were exported. Raises InputError."""
    check_repo(repo, "repository")
    card = find(workspace, adapter)
    if not card.is_text:
        raise InputError("not_text", f"adapter: {card.name} is of a video model.", "Push it with the recipe's push_to.")
    with tempfile.TemporaryDirectory(prefix="t2v-push-") as name:
        files = {path.name: path.read_bytes() for path in sorted(peft_folder(workspace, card, Path(name)).iterdir())}
    beside = workspace.adapter(card.id) / EXPORTS
    for path in sorted([*beside.glob("*-lora.gguf"), *beside.glob("Modelfile")]):
        files[path.name] = path.read_bytes()
    return Parcel(repo, private, files | {"README.md": model_card(workspace, card, repo).encode()})


def push(ready: Parcel, token: str) -> str:
    """Send a plan's files, as `send` does."""
    return send(ready, token, hub, title="Adapter with its card", code="push_failed")
