"""A language model fetched by its name: only what is read, at the pinned commit, kept by prune."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stand_in import Hub, hub_at

from t2v_studio.engines.diffusion import cache, download
from t2v_studio.engines.diffusion.chat_files import chat_entry
from t2v_studio.engines.diffusion.store import ModelStore
from t2v_studio.planning.chat_model import chat_model_folder, chat_models
from t2v_studio.planning.tiny_chat import tiny_chat_folder
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

REPO = "LiquidAI/LFM2-1.2B"
PINNED = next(row["revision"] for row in chat_models() if row["repo_id"] == REPO)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The repository of lfm2-1.2b as the hub lays it out, with a tiny model and files that nobody reads."""
    import shutil

    from huggingface_hub import constants

    repo = tmp_path / "hub" / "lfm2"
    shutil.copytree(tiny_chat_folder("tiny-lfm2", tmp_path / "made"), repo)
    (repo / "README.md").write_text("# words")
    (repo / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (repo / "onnx").mkdir()
    (repo / "onnx" / "model.json").write_text("{}")
    monkeypatch.setattr("hub_stand_in.commit_of", lambda repo_id: PINNED)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with hub_at({REPO: repo}) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running


def test_a_chat_model_is_fetched_found_and_kept(hub: Hub, settings: Settings, workspace: Workspace) -> None:
    entry, store = chat_entry("LFM2-1.2B"), ModelStore.of(settings, workspace)
    assert entry is not None and chat_entry("wan2.1-14b") is None
    made = download.download(entry, store, lambda *_: None)
    assert made["revision"] == PINNED and made["files"] == len(hub.fetched)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(hub.fetched)
    assert not {"README.md", "pytorch_model.bin", "onnx/model.json"} & set(hub.fetched)

    folder = chat_model_folder("lfm2-1.2b", settings)
    assert folder.name == PINNED and (folder / "model.safetensors").is_file()
    assert download.download(entry, store, lambda *_: None)["files"] == 0, "what is here is not fetched again"

    pruned = cache.plan("prune", settings, workspace, set())
    assert not pruned.goes and "lfm2-1.2b: it was fetched by its name" in pruned.stays[0].why
    assert [item.name for item in cache.plan("purge", settings, workspace, set()).goes] == [REPO]
    assert not cache.plan("purge", settings, workspace, {"lfm2-1.2b"}).goes, "a job needs it"
