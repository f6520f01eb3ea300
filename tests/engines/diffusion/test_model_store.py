"""Models named, fetched from a hub on this machine, copied in bf16, pruned: with tiny models throughout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_stand_in import Hub, commit_of, hub_at

from t2v_studio.engines.diffusion import cache, download, models
from t2v_studio.engines.diffusion.convert import convert
from t2v_studio.engines.diffusion.models import Bundle, ModelEntry, PartInfo, model, register, registry, source
from t2v_studio.engines.diffusion.store import ModelStore
from t2v_studio.errors import CancelledError, ConflictError, InputError, LimitError, UnavailableError
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

pytest.importorskip("torch")
REPO, TEXT = "someone/tiny-video", "someone/tiny-text"
COMMIT = commit_of(REPO)
WEIGHTS = PartInfo(parameters=1000, stored="float32")
SMALL = PartInfo(parameters=0)
ENTRY = ModelEntry(
    name="small-video",
    title="Small video",
    repo_id=REPO,
    family="wan",
    parts={"transformer": WEIGHTS, "vae": WEIGHTS, "scheduler": SMALL},
    shared={"text_encoder": "words", "tokenizer": "words"},
)
WORDS = Bundle(repo_id=TEXT, revision=commit_of(TEXT), parts={"text_encoder": WEIGHTS, "tokenizer": SMALL})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from t2v_studio.engines.diffusion.tiny import make_tiny

    return make_tiny("wan", tmp_path_factory.mktemp("hub") / "wan")


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the video repository (which also holds what nobody needs) and the shared text encoder."""
    from huggingface_hub import constants

    repo = tmp_path / "hub" / "video"
    shutil.copytree(tiny, repo)
    (repo / "README.md").write_text("# words")
    (repo / "transformer" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a second number format")
    text = tmp_path / "hub" / "text"
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(tiny / part, text / part)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(models, "_shipped", lambda: ([ENTRY], {"words": WORDS}))
    with hub_at({REPO: repo, TEXT: text}) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield running


@pytest.fixture
def store(settings: Settings, workspace: Workspace) -> ModelStore:
    return ModelStore.of(settings, workspace)


def silent(stage: str, done: int, total: int, file: str) -> None: ...


def fetch(store: ModelStore, **options: Any) -> dict[str, Any]:
    return download.download(ENTRY, store, silent, **options)


# --- names -------------------------------------------------------------------------------------
def test_the_shipped_list_names_pinned_models(workspace: Workspace, settings: Settings) -> None:
    entries = registry(workspace)
    assert model("", settings, workspace).repo_id == "Wan-AI/Wan2.1-T2V-14B-Diffusers"
    assert model("thudm/cogvideox-2B", settings, workspace).name == "cogvideox-2b"
    unpinned = [entry.name for entry in entries.values() if entry.repo_id and not entry.revision]
    assert unpinned == ["ltx-0.9.1"]
    wan = entries["wan2.1-1.3b"]
    assert wan.parameters() == 1_418_996_800 + 5_680_910_336 + 126_892_531
    assert [bundle.repo_id for bundle in wan.bundles()][1] == "Wan-AI/Wan2.2-TI2V-5B-Diffusers"


def test_free_text_is_refused_with_the_nearest_name(workspace: Workspace, settings: Settings) -> None:
    with pytest.raises(InputError) as caught:
        model("Wan-AI/Wan2.1-T2V-14B", settings, workspace)
    assert caught.value.code == "unknown_name" and "Wan-AI/Wan2.1-T2V-14B-Diffusers" in caught.value.hint
    with pytest.raises(InputError):
        model("../../etc", settings, workspace)


def test_a_missing_model_says_its_size_and_the_command(workspace: Workspace, settings: Settings) -> None:
    with pytest.raises(UnavailableError) as caught:
        source(model("", settings, workspace), settings, workspace)
    assert caught.value.code == "model_missing" and "69 GB" in caught.value.message
    assert "t2v models download wan2.1-14b" in caught.value.hint


def test_tiny_models_are_made_when_first_asked_for(workspace: Workspace, settings: Settings) -> None:
    found = source(model("tiny-wan", settings, workspace), settings, workspace)
    assert (found.folder / "model_index.json").is_file()
    made_at = found.folder.stat().st_mtime_ns
    assert source(model("tiny-wan", settings, workspace), settings, workspace).folder.stat().st_mtime_ns == made_at


def test_a_folder_is_registered_in_the_users_file(workspace: Workspace, settings: Settings, tiny: Path) -> None:
    path = workspace.data / models.LOCAL_FILE
    path.write_text("# my models\n")
    register(workspace, "mine", "wan", tiny)
    assert path.read_text().startswith("# my models\n- name: mine")
    assert source(model("mine", settings, workspace), settings, workspace).folder == tiny
    with pytest.raises(InputError, match="mine"):
        register(workspace, "mine", "wan", tiny)
    path.write_text("- {name: odd, family: wan, folder: x, colour: red}")
    with pytest.raises(InputError, match='model odd: "colour" is not known'):
        registry(workspace)


# --- download ----------------------------------------------------------------------------------
def test_only_the_needed_files_are_fetched_and_noted(
    hub: Hub, store: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    stages = []
    result = download.download(ENTRY, store, lambda *told: stages.append(told))
    assert result["revision"] == COMMIT and result["bytes"] > 100_000
    assert not [name for name in hub.fetched if "fp16" in name or name == "README.md"]
    assert sum(name.startswith("text_encoder/") for name in hub.fetched) == 2  # once, from the shared repository
    found = source(ENTRY, settings, workspace)
    assert found.revision == COMMIT and TEXT.replace("/", "--") in str(found.part("text_encoder"))
    rows = {row["repo_id"]: row for row in store.ledger()["snapshots"]}
    assert rows[REPO]["state"] == "complete" and rows[REPO]["revision"] == COMMIT
    assert stages[-1][0] == "fetching" and stages[-1][1] == stages[-1][2] == result["bytes"]

    hub.fetched.clear()
    assert fetch(store)["bytes"] == 0 and hub.fetched == []


def test_what_was_fetched_loads_and_draws(
    hub: Hub, store: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    fetch(store)
    rules, where = ENTRY.rules, source(ENTRY, settings, workspace)
    parts = {part: rules.load_part(part, where, dtype="float32") for part in rules.part_names}
    clip = rules.call_kwargs(frames=5, width=32, height=32, steps=1, guidance=1.0, fps=8)
    assert rules.pipeline_from(parts)(prompt="a", output_type="np", **clip).frames.shape == (1, 5, 32, 32, 3)


def test_a_cancelled_download_goes_on_where_it_stopped(hub: Hub, store: ModelStore) -> None:
    def stop(stage: str, done: int, total: int, file: str) -> None:
        if file.startswith("vae/"):
            raise CancelledError

    with pytest.raises(CancelledError):
        download.download(ENTRY, store, stop)
    assert store.source(ENTRY) is None
    assert [row["state"] for row in store.ledger()["snapshots"]] == ["started"]
    hub.fetched.clear()
    fetch(store)
    assert "transformer/config.json" not in hub.fetched and store.source(ENTRY) is not None


def test_after_a_crash_a_damaged_file_is_found_by_its_hash(hub: Hub, store: ModelStore) -> None:
    fetch(store)
    weights = store.part_folder(ENTRY.bundles()[0], "transformer") / "diffusion_pytorch_model.safetensors"
    good = weights.read_bytes()
    weights.resolve().write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    store.note(REPO, COMMIT, "started", {})
    hub.fetched.clear()
    fetch(store)
    assert hub.fetched == ["transformer/diffusion_pytorch_model.safetensors"] and weights.read_bytes() == good


def test_a_cut_connection_is_taken_up_again(hub: Hub, store: ModelStore) -> None:
    hub.break_after = 20
    fetch(store)
    assert store.source(ENTRY) is not None


def test_a_full_disk_refuses_before_anything_is_fetched(
    hub: Hub, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=600_000))
    with pytest.raises(LimitError) as caught:
        fetch(store, freeable=3_000_000_000)
    assert caught.value.code == "disk_full" and "3.0 GB" in caught.value.hint and "T2V_CACHE_ROOT" in caught.value.hint
    assert hub.fetched == [] and not store.hub.exists()


def test_a_hub_that_cannot_be_reached_says_so(store: ModelStore, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.folders.pop(TEXT)
    with pytest.raises(UnavailableError) as caught:
        fetch(store)
    assert caught.value.code == "hub_refused" and TEXT in caught.value.message
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError) as caught:
        fetch(store)
    assert caught.value.code == "hub_unreachable" and caught.value.hint


def test_no_token_but_the_environments_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert download.hub_token() is False
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    assert download.hub_token() == "hf_x"


# --- bf16 copies -------------------------------------------------------------------------------
def test_a_copy_in_bf16_loads_the_very_weights_of_the_wide_files(
    hub: Hub, store: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    import torch

    fetch(store)
    rules, wide = ENTRY.rules, source(ENTRY, settings, workspace)
    before = {
        part: rules.load_part(part, wide, dtype="bfloat16").state_dict() for part in ("transformer", "text_encoder")
    }
    result = convert(ENTRY, store, silent)
    assert result["parts"] == ["transformer", "text_encoder"] and result["after"] < 0.8 * result["before"]
    narrow = source(ENTRY, settings, workspace)
    for part, tensors in before.items():
        assert store.converted in narrow.part(part).parents
        after = rules.load_part(part, narrow, dtype="bfloat16").state_dict()
        assert all(
            torch.equal(tensors[name], after[name]) and tensors[name].dtype == after[name].dtype for name in tensors
        )
    assert narrow.part("vae") == wide.part("vae")
    assert convert(ENTRY, store, silent)["parts"] == []

    found = cache.plan("doubles", settings, workspace, [])
    assert {item.name for item in found.goes} == {f"{REPO} (transformer)", f"{TEXT} (text_encoder)"}
    assert all("/transformer/" in file or "/text_encoder/" in file for item in found.goes for file in item.files)
    cache.execute(found.token, "doubles", settings, workspace, [])
    assert not list(wide.part("transformer").glob("*.safetensors"))
    again = source(ENTRY, settings, workspace)
    assert again == narrow and rules.load_part("vae", again) is not None
    hub.fetched.clear()
    assert fetch(store)["bytes"] == 0 and hub.fetched == []


# --- the cache ---------------------------------------------------------------------------------
@pytest.fixture
def filled(hub: Hub, store: ModelStore) -> ModelStore:
    """The model and its text encoder, fetched; beside them a repository of somebody else."""
    fetch(store)
    foreign = store.hub / "models--other--model"
    for folder in ("blobs", "refs", f"snapshots/{'b' * 40}"):
        (foreign / folder).mkdir(parents=True)
    (foreign / "blobs" / "1").write_bytes(b"x" * 1000)
    (foreign / "refs" / "main").write_text("b" * 40)
    (foreign / "snapshots" / ("b" * 40) / "model.bin").symlink_to("../../blobs/1")
    return store


def with_default(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"model_id": name})


def test_a_prune_takes_only_what_the_studio_fetched_and_nobody_keeps(
    filled: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    other = with_default(settings, "tiny-wan")
    found = cache.plan("prune", other, workspace, [])
    assert {item.name for item in found.goes} == {REPO, TEXT} and found.freed > 100_000
    assert [(item.name, item.why) for item in found.stays] == [("other/model", "the studio did not fetch it")]
    cache.execute(found.token, "prune", other, workspace, [])
    assert filled.source(ENTRY) is None and not filled.repo(REPO).exists()
    assert (filled.hub / "models--other--model" / "blobs" / "1").is_file()
    assert filled.ledger()["snapshots"] == []


def test_default_pinned_and_used_models_stay_with_their_reason(
    filled: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    other = with_default(settings, "tiny-wan")
    default = cache.plan("prune", with_default(settings, "small-video"), workspace, [])
    used = cache.plan("purge", other, workspace, ["small-video"])
    unknown = cache.plan("purge", other, workspace, ["*"])
    filled.pin("small-video", True)
    pinned = cache.plan("purge", other, workspace, [])
    for found, word in ((default, "default"), (used, "job"), (unknown, "job"), (pinned, "pinned")):
        assert found.goes == [] and found.freed == 0
        assert any(word in item.why for item in found.stays if item.name == REPO), word
    filled.pin("small-video", False)
    assert cache.plan("purge", with_default(settings, "small-video"), workspace, []).freed > 0


def test_a_plan_that_was_not_shown_is_not_carried_out(
    filled: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    other = with_default(settings, "tiny-wan")
    found = cache.plan("prune", other, workspace, [])
    with pytest.raises(ConflictError, match="changed"):
        cache.execute(found.token, "prune", other, workspace, ["small-video"])
    assert filled.source(ENTRY) is not None


def test_beginnings_of_files_go_when_no_job_is_at_work(
    filled: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    half = filled.repo(REPO) / "blobs" / "half.incomplete"
    half.write_bytes(b"x" * 10)
    keep = with_default(settings, "small-video")
    assert cache.plan("prune", keep, workspace, ["small-video"]).goes == []
    found = cache.plan("prune", keep, workspace, [])
    assert [item.path for item in found.goes] == [str(half)]
    cache.execute(found.token, "prune", keep, workspace, [])
    assert not half.exists() and filled.source(ENTRY) is not None


def test_files_that_were_here_before_the_studio_stay(
    hub: Hub, store: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    from huggingface_hub import hf_hub_download

    names = ("transformer/config.json", "transformer/diffusion_pytorch_model.safetensors")
    for name in names:
        hf_hub_download(REPO, name, revision=COMMIT, cache_dir=store.hub)
    fetch(store)
    other = with_default(settings, "tiny-wan")
    found = cache.plan("purge", other, workspace, [])
    assert [(item.what, item.why) for item in found.stays] == [("foreign", "the studio did not fetch it")]
    cache.execute(found.token, "purge", other, workspace, [])
    left = store.repo(REPO) / "snapshots" / COMMIT
    assert sorted(path.relative_to(left).as_posix() for path in left.rglob("*") if path.is_file()) == sorted(names)
    assert not store.repo(TEXT).exists() and store.ledger()["snapshots"] == []


def test_a_commit_of_somebody_else_that_is_empty_stays(
    filled: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    empty = filled.hub / "models--other--model" / "snapshots" / ("c" * 40)
    empty.mkdir()
    found = cache.plan("purge", settings, workspace, [])
    cache.execute(found.token, "purge", settings, workspace, [])
    assert empty.is_dir() and not filled.repo(REPO).exists()


def test_of_a_shared_repository_the_part_goes_that_nobody_needs(
    filled: ModelStore, settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second model borrows the text encoder and the VAE; it is the default, and the first one's transformer goes."""
    borrowed = Bundle(repo_id=REPO, revision=COMMIT, parts={"vae": WEIGHTS})
    second = ENTRY.model_copy(
        update={
            "name": "second",
            "repo_id": "someone/second",
            "parts": {"transformer": WEIGHTS, "scheduler": SMALL},
            "shared": {**ENTRY.shared, "vae": "pixels"},
        }
    )
    monkeypatch.setattr(models, "_shipped", lambda: ([ENTRY, second], {"words": WORDS, "pixels": borrowed}))
    kept = with_default(settings, "second")
    found = cache.plan("prune", kept, workspace, [])
    assert [item.name for item in found.goes] == [f"{REPO} (scheduler, transformer)"]
    assert {item.name for item in found.stays if "second" in item.models} >= {f"{REPO} (vae)", TEXT}
    cache.execute(found.token, "prune", kept, workspace, [])
    folders = filled.part_folders(ENTRY)
    assert folders["transformer"] is None and folders["vae"] is not None and folders["text_encoder"] is not None
    assert fetch(filled)["files"] > 0 and filled.source(ENTRY) is not None


def test_a_pinned_models_wide_files_stay_beside_their_copy(
    filled: ModelStore, settings: Settings, workspace: Workspace
) -> None:
    convert(ENTRY, filled, silent)
    filled.pin("small-video", True)
    for depth in ("prune", "purge", "doubles"):
        found = cache.plan(depth, with_default(settings, "tiny-wan"), workspace, [])  # type: ignore[arg-type]
        assert found.goes == [] and any("pinned" in item.why for item in found.stays)
    filled.pin("small-video", False)
    assert cache.plan("doubles", settings, workspace, [], "another").goes == []
    default = cache.plan("prune", with_default(settings, "small-video"), workspace, [])
    assert {item.name for item in default.goes} == {f"{REPO} (transformer)", f"{TEXT} (text_encoder)"}


def test_a_copy_that_lost_its_weights_is_none(filled: ModelStore, settings: Settings, workspace: Workspace) -> None:
    wide = source(ENTRY, settings, workspace)
    convert(ENTRY, filled, silent)
    narrow = source(ENTRY, settings, workspace).part("transformer")
    for path in narrow.glob("*.safetensors"):
        path.unlink()
    assert source(ENTRY, settings, workspace).part("transformer") == wide.part("transformer")
    assert convert(ENTRY, filled, silent)["parts"] == ["transformer"]
    assert source(ENTRY, settings, workspace).part("transformer") == narrow


@pytest.mark.parametrize("end", ["full", "cancelled"])
def test_a_copy_that_finds_no_room_says_so_and_leaves_none_of_itself(
    filled: ModelStore, full_disk: Callable[[int], AbstractContextManager[None]], end: str
) -> None:
    def cancels(stage: str, done: int, total: int, file: str) -> None:
        if file.endswith(".safetensors"):
            raise CancelledError

    if end == "full":
        with pytest.raises(LimitError) as caught, full_disk(4096):
            convert(ENTRY, filled, silent)
        assert (caught.value.code, "T2V_CACHE_ROOT" in caught.value.hint) == ("disk_full", True)
        assert caught.value.message == "The disk is full: the bfloat16 copy of transformer could not be written."
    else:
        with pytest.raises(CancelledError):
            convert(ENTRY, filled, cancels)
    assert [path for path in filled.converted.rglob("*") if path.is_file()] == []
    assert convert(ENTRY, filled, silent)["parts"] == ["transformer", "text_encoder"]


def test_a_loaded_model_is_kept_from_every_workspace_until_it_is_let_go(
    filled: ModelStore, settings: Settings, workspace: Workspace, tmp_path: Path
) -> None:
    other = with_default(settings, "tiny-wan")
    lock = filled.hold("small-video")
    assert filled.held() == {"small-video"}
    found = cache.plan("purge", other, workspace, [])
    assert found.goes == [] and all("a job uses it" in item.why for item in found.stays if item.models)
    lock.release()
    assert filled.held() == set() and cache.plan("purge", other, workspace, []).goes
    code = "import os, sys; from pathlib import Path; from t2v_studio.engines.diffusion.store import ModelStore; "
    code += "held = ModelStore(Path(sys.argv[1])).hold('small-video'); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(filled.root)], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert filled.held() == {"small-video"}
        process.kill()
    assert filled.held() == set(), "a process that was killed holds nothing"
    elsewhere = Workspace.at(tmp_path / "elsewhere")
    filled.note_default(elsewhere, "small-video")
    kept = cache.plan("prune", other, workspace, [])
    assert kept.goes == [] and any("another workspace" in item.why for item in kept.stays)
    shutil.rmtree(elsewhere.data)
    assert cache.plan("prune", other, workspace, []).goes


def test_a_ledger_that_cannot_be_read_is_put_aside(filled: ModelStore) -> None:
    path = filled.root / "ledger.json"
    for text in ("[]", '{"snapshots": [{"repo_', '{"snapshots": 3}'):
        path.write_text(text)
        assert filled.ledger()["snapshots"] == []
    filled.pin("small-video", True)
    assert (filled.root / "ledger.unreadable.json").read_text() == text and filled.ledger()["pinned"] == ["small-video"]


def test_a_cache_that_cannot_be_made_is_named(settings: Settings, tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "file").write_text("")
    store = ModelStore.of(settings.model_copy(update={"cache_root": tmp_path / "file" / "cache"}), workspace)
    with pytest.raises(InputError, match="T2V_CACHE_ROOT"):
        store.pin("tiny-wan", True)
    with pytest.raises(InputError, match="T2V_CACHE_ROOT"):
        download.require_room(store.root, 1, "A model")


# --- a list of one's own, and broken models ----------------------------------------------------
@pytest.mark.parametrize("text", ["  - name: a1\n    family: wan\n    folder: a1\n", "[{name: a1, family: wan, folder: a1}]\n", "# mine\n- {name: a1, family: wan, folder: a1}\n"])  # fmt: skip
def test_a_list_of_ones_own_keeps_its_models_however_it_is_written(text: str, workspace: Workspace, tiny: Path) -> None:
    path = workspace.data / "models.local.yaml"
    path.write_text(text)
    register(workspace, "b2", "wan", tiny)
    assert [one.name for one in models.own_models(workspace)] == ["a1", "b2"]
    models.forget(workspace, "a1")
    assert [one.name for one in models.own_models(workspace)] == ["b2"]
    assert path.read_text().startswith("# mine") == text.startswith("# mine")
    models.forget(workspace, "b2")
    assert models.own_models(workspace) == []


def test_sizes_that_a_model_of_ones_own_was_trained_at(workspace: Workspace) -> None:
    path = workspace.data / "models.local.yaml"
    path.write_text("- {name: a1, family: wan, folder: a1, trained_sizes: [640x368], title: Mine}")
    (own,) = models.own_models(workspace)
    assert own.rules.trained_sizes == ((640, 368),) and own.rules.label == "Mine"
    path.write_text("- {name: a1, family: wan, folder: a1, trained_sizes: [big]}")
    with pytest.raises(
        InputError, match=r"models\.local\.yaml: model a1: trained_sizes.*'big' is not a size such as 832x480"
    ):
        models.own_models(workspace)


def test_a_family_that_is_not_known_names_the_file(workspace: Workspace) -> None:
    (workspace.data / "models.local.yaml").write_text("- {name: a1, family: nonsense, folder: a1}")
    with pytest.raises(InputError, match=r"models\.local\.yaml: model a1: family"):
        models.own_models(workspace)


def test_a_tiny_model_that_lost_a_part_is_made_again(workspace: Workspace, settings: Settings) -> None:
    entry = model("tiny-wan", settings, workspace)
    folder = source(entry, settings, workspace).folder
    shutil.rmtree(folder / "transformer")
    assert source(entry, settings, workspace).folder == folder and (folder / "transformer" / "config.json").is_file()


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _no_header(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1")


def _lose_a_shard(path: Path) -> None:
    named = {"a": "part-1.safetensors", "b": "part-2.safetensors"}
    path.rename(path.with_name("part-1.safetensors"))
    path.with_name(f"{path.name}.index.json").write_text(json.dumps({"weight_map": named}))


def _shorten_a_shard(path: Path) -> None:
    _lose_a_shard(path)
    shutil.copy(path.with_name("part-1.safetensors"), path.with_name("part-2.safetensors"))
    _shorten(path.with_name("part-2.safetensors"))


WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda part: shutil.rmtree(part), "is not there"),
        (lambda part: (part / "config.json").unlink(), "has no config.json"),
        (lambda part: (part / "config.json").write_text("{"), "has no config.json that can be read"),
        (lambda part: (part / "config.json").write_text('{"_class_name": "Other"}'), "is a Other, and this family"),
        (lambda part: (part / WEIGHTS_FILE).unlink(), "has no safetensors file"),
        (lambda part: _shorten(part / WEIGHTS_FILE), f"has a {WEIGHTS_FILE} that is cut short"),
        (lambda part: _no_header(part / WEIGHTS_FILE), f"has a {WEIGHTS_FILE} that is cut short or damaged"),
        (lambda part: _lose_a_shard(part / WEIGHTS_FILE), "lacks part-2.safetensors"),
        (lambda part: _shorten_a_shard(part / WEIGHTS_FILE), "has a part-2.safetensors that is cut short"),
    ],
)
@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_a_damaged_folder_of_ones_own_is_not_ready(
    damage: Any, words: str, part: str, settings: Settings, workspace: Workspace, tiny: Path, tmp_path: Path
) -> None:
    from t2v_studio.engines.diffusion.engine import DiffusionEngine
    from t2v_studio.engines.diffusion.options import DiffusionOptions

    folder = tmp_path / "mine"
    shutil.copytree(tiny, folder)
    register(workspace, "mine", "wan", folder)
    engine, options = DiffusionEngine(settings, workspace), DiffusionOptions(model_id="mine")
    assert engine.availability(options).ok
    damage(folder / part)
    with pytest.raises(UnavailableError) as caught:
        source(model("mine", settings, workspace), settings, workspace)
    assert caught.value.code == "model_broken" and f"its part {part} {words}" in caught.value.message
    assert str(folder) in caught.value.hint and "t2v models forget mine" in caught.value.hint
    assert not engine.availability(options).ok


@pytest.mark.parametrize("damage", [_shorten, _no_header])
def test_a_fetched_file_that_is_not_whole_is_seen_and_fetched_again(hub: Hub, store: ModelStore, damage: Any) -> None:
    fetch(store)
    own = ENTRY.bundles()[0]
    weights = store.part_folder(own, "transformer") / WEIGHTS_FILE  # type: ignore[operator]
    good = weights.read_bytes()
    damage(weights.resolve())
    assert store.source(ENTRY) is None and store.damaged(own, "transformer") == WEIGHTS_FILE
    hub.fetched.clear()
    fetch(store)
    assert hub.fetched == [f"transformer/{WEIGHTS_FILE}"] and weights.read_bytes() == good
    assert store.source(ENTRY) is not None and not store.damaged(own, "transformer")


def test_a_fetched_file_of_the_right_size_whose_header_is_spoilt_is_fetched_again(hub: Hub, store: ModelStore) -> None:
    fetch(store)
    weights = store.part_folder(ENTRY.bundles()[0], "transformer") / WEIGHTS_FILE  # type: ignore[operator]
    good = weights.read_bytes()
    weights.resolve().write_bytes(bytes(len(good)))
    hub.fetched.clear()
    fetch(store)
    assert hub.fetched == [f"transformer/{WEIGHTS_FILE}"] and weights.read_bytes() == good


def test_a_tiny_model_that_was_cut_short_is_made_again(workspace: Workspace, settings: Settings) -> None:
    entry = model("tiny-wan", settings, workspace)
    weights = source(entry, settings, workspace).folder / "transformer" / WEIGHTS_FILE
    good = weights.read_bytes()
    _shorten(weights)
    source(entry, settings, workspace)
    assert weights.read_bytes() == good
