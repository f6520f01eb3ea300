"""What every vector index must do alike: the exact twin, the embedded Chroma, and a real Chroma server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t2v_studio.errors import InputError, NotFoundError, UnavailableError
from t2v_studio.library.index import VectorIndex, open_index
from t2v_studio.library.index_chroma import EmbeddedChromaIndex
from t2v_studio.library.index_numpy import NumpyIndex
from t2v_studio.library.index_server import ChromaServerIndex
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

DIMENSION = 16
NAME = "bk-0123456789abcdef-model-1"


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A `chroma run` on a free loopback port; tests skip where it does not come up."""
    folder = tmp_path_factory.mktemp("server")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "import sys, chromadb_rust_bindings as rust; rust.cli(sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        code,
        "chroma",
        "run",
        "--path",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "ANONYMIZED_TELEMETRY": "False"}, cwd=folder
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(60):
            try:
                urllib.request.urlopen(f"{url}/api/v2/heartbeat", timeout=1).read()
                break
            except OSError:
                if server.poll() is not None:
                    pytest.skip("chroma run ended at once")
                time.sleep(0.25)
        else:
            pytest.skip("chroma run did not answer")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(params=["numpy", "embedded", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    store: Any
    if request.param == "numpy":
        store = NumpyIndex()
    elif request.param == "embedded":
        store = EmbeddedChromaIndex(tmp_path / "chroma")
    else:
        store = ChromaServerIndex(request.getfixturevalue("chroma_server"))
        for name in store.collections():
            store.delete(name)
    yield store
    store.close()


def unit_vectors(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def fill(index: VectorIndex, count: int, name: str = NAME, seed: int = 0) -> tuple[list[str], np.ndarray]:
    ids = [f"p{place:05d}" for place in range(count)]
    vectors = unit_vectors(count, seed)
    index.create(name)
    index.upsert(
        name, ids, vectors, [f"text {one}" for one in ids], [{"page": place, "kind": "prose"} for place in range(count)]
    )
    return ids, vectors


def test_finds_each_entry_by_its_own_vector(index: VectorIndex) -> None:
    ids, vectors = fill(index, 600)
    assert index.count(NAME) == 600
    for place in (0, 1, 249, 250, 599):
        found = index.query(NAME, vectors[place], 1)
        assert found[0][0] == ids[place]
        assert found[0][1] == pytest.approx(1.0, abs=1e-4)


def test_answers_as_an_exact_scan_does(index: VectorIndex) -> None:
    ids, vectors = fill(index, 400)
    for query in unit_vectors(12, seed=9):
        cosines = vectors @ query
        exact = sorted(range(400), key=lambda place: -cosines[place])[:10]
        found = index.query(NAME, query, 10)
        assert [entry_id for entry_id, _ in found] == [ids[place] for place in exact]
        assert [cosine for _, cosine in found] == pytest.approx([float(cosines[place]) for place in exact], abs=1e-4)


def test_equal_cosines_come_in_the_order_of_their_ids(index: VectorIndex) -> None:
    index.create(NAME)
    vectors = np.tile(unit_vectors(1), (6, 1))
    index.upsert(NAME, list("fbdaec"), vectors, list("fbdaec"), [{"page": 1}] * 6)
    assert [entry_id for entry_id, _ in index.query(NAME, vectors[0], 3)] == ["a", "b", "c"]


def test_upsert_replaces_and_never_doubles(index: VectorIndex) -> None:
    ids, _ = fill(index, 30)
    fresh = unit_vectors(1, seed=5)
    index.upsert(NAME, [ids[3]], fresh, ["another text"], [{"page": 77}])
    assert index.count(NAME) == 30
    entry = index.get(NAME, [ids[3]])[0]
    assert (entry.text, entry.metadata["page"]) == ("another text", 77)
    assert entry.embedding == pytest.approx(fresh[0], abs=1e-6)
    assert index.query(NAME, fresh[0], 1)[0][0] == ids[3]


def test_get_keeps_the_order_asked_for_and_lists_everything(index: VectorIndex) -> None:
    ids, vectors = fill(index, 1203)
    some = index.get(NAME, [ids[700], "unknown", ids[2]])
    assert [entry.id for entry in some] == [ids[700], ids[2]]
    assert some[1].embedding == pytest.approx(vectors[2], abs=1e-6)
    assert [entry.id for entry in index.get(NAME)] == ids
    assert index.get(NAME, []) == []


def test_vectors_are_those_of_the_entries(index: VectorIndex) -> None:
    index.create("part")
    vectors = np.eye(3, dtype=np.float32)
    index.upsert("part", ["c", "a", "b"], vectors, ["x", "y", "z"], [{"page": 1}] * 3)
    found = index.vectors("part", ["b", "nobody", "c", "b"])
    assert set(found) == {"b", "c"}
    assert np.allclose(found["b"], vectors[2]) and np.allclose(found["c"], vectors[0])
    assert index.vectors("part", []) == {}


def test_a_collection_that_is_not_there_is_said_so(index: VectorIndex) -> None:
    for call in (
        lambda: index.count("bk-none"),
        lambda: index.query("bk-none", unit_vectors(1)[0], 3),
        lambda: index.get("bk-none"),
    ):
        with pytest.raises(NotFoundError) as raised:
            call()
        assert raised.value.code == "index_missing"
    index.delete("bk-none")


def test_an_empty_collection_answers_nothing(index: VectorIndex) -> None:
    index.create(NAME)
    assert index.query(NAME, unit_vectors(1)[0], 5) == []
    assert index.count(NAME) == 0
    assert index.get(NAME) == []


def test_more_neighbours_than_entries(index: VectorIndex) -> None:
    _, vectors = fill(index, 4)
    assert len(index.query(NAME, vectors[0], 50)) == 4
    assert index.query(NAME, vectors[0], 0) == []


def test_collections_are_apart_and_can_be_made_anew(index: VectorIndex) -> None:
    fill(index, 10)
    fill(index, 5, name="bk-other", seed=1)
    assert index.collections() == [NAME, "bk-other"]
    index.delete(NAME)
    assert index.collections() == ["bk-other"]
    fill(index, 3)
    assert index.count(NAME) == 3
    index.create(NAME)
    assert index.count(NAME) == 3


def test_a_handle_survives_that_the_collection_is_made_anew(index: VectorIndex) -> None:
    fill(index, 10)
    assert index.count(NAME) == 10
    other: Any = ChromaServerIndex(index.url) if isinstance(index, ChromaServerIndex) else index
    other.delete(NAME)
    fill(other, 4)
    assert index.count(NAME) == 4


@pytest.mark.parametrize(
    ("ids", "vectors", "texts", "code"),
    [
        (["a", "a"], unit_vectors(2), ["x", "y"], "bad_entries"),
        (["a", "b"], unit_vectors(3), ["x", "y"], "bad_entries"),
        (["a"], np.full((1, DIMENSION), np.nan), ["x"], "bad_entries"),
        (["a"], np.ones((1, DIMENSION + 1)) / 4, ["x"], "wrong_dimension"),
    ],
)
def test_bad_entries_are_refused(
    index: VectorIndex, ids: list[str], vectors: np.ndarray, texts: list[str], code: str
) -> None:
    fill(index, 3)
    with pytest.raises(InputError) as raised:
        index.upsert(NAME, ids, vectors, texts, [{"page": 1}] * len(ids))
    assert raised.value.code == code
    assert index.count(NAME) == 3


def test_a_query_of_another_dimension_is_refused(index: VectorIndex) -> None:
    fill(index, 3)
    with pytest.raises(InputError) as raised:
        index.query(NAME, np.ones(DIMENSION + 3, dtype=np.float32), 2)
    assert raised.value.code == "wrong_dimension"


def test_progress_is_reported_and_may_stop_the_work(index: VectorIndex) -> None:
    class Stop(Exception):
        pass

    seen: list[tuple[int, int]] = []

    def report(done: int, total: int) -> None:
        seen.append((done, total))

    def stop(done: int, total: int) -> None:
        raise Stop

    vectors = unit_vectors(600)
    index.create(NAME)
    arguments = ([f"x{place}" for place in range(600)], vectors, ["t"] * 600, [{"page": 1}] * 600)
    index.upsert(NAME, *arguments, report=report)
    assert seen[-1] == (600, 600)
    with pytest.raises(Stop):
        index.upsert(NAME, *arguments, report=stop)


def test_vacuum_takes_deleted_text_off_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "chroma"
    index = EmbeddedChromaIndex(folder)
    secret = "an unmistakable sentence about marzipan potatoes"
    index.create(NAME)
    index.create("bk-stays")
    vectors = unit_vectors(40)
    ids = [f"p{place}" for place in range(40)]
    index.upsert(NAME, ids, vectors, [f"{secret} {one}" for one in ids], [{"page": 1}] * 40)
    index.upsert("bk-stays", ids, vectors, ["kept text"] * 40, [{"page": 1}] * 40)
    index.delete(NAME)
    assert index.vacuum() is True
    for file in folder.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file
    assert index.count("bk-stays") == 40
    assert index.query("bk-stays", vectors[7], 1)[0][0] == "p7"
    assert len([item for item in folder.iterdir() if item.is_dir()]) <= 1
    index.close()


def test_the_embedded_store_keeps_its_entries(tmp_path: Path) -> None:
    first = EmbeddedChromaIndex(tmp_path / "chroma")
    ids, vectors = fill(first, 300)
    first.close()
    second = EmbeddedChromaIndex(tmp_path / "chroma")
    assert second.count(NAME) == 300
    assert second.query(NAME, vectors[123], 1)[0][0] == ids[123]
    second.close()


def test_open_index_follows_the_settings(workspace: Workspace, settings: Settings) -> None:
    assert isinstance(open_index(workspace, settings), EmbeddedChromaIndex)
    with_server = settings.model_copy(update={"chroma_url": "http://127.0.0.1:9"})
    server = open_index(workspace, with_server)
    assert isinstance(server, ChromaServerIndex)
    with pytest.raises(UnavailableError) as raised:
        server.collections()
    assert raised.value.code == "no_chroma_server"
    for bad in ("127.0.0.1:8000", "ftp://host", "http://", "http://host:port"):
        with pytest.raises(InputError):
            ChromaServerIndex(bad)


def test_chroma_never_reaches_for_a_model_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("a connection was made"))
    index = EmbeddedChromaIndex(tmp_path / "chroma")
    fill(index, 5)
    assert index.client.get_collection(NAME, embedding_function=None)._embedding_function is None
    index.close()
    shutil.rmtree(tmp_path / "chroma")
