"""A Chroma server as vector index, for many machines. It has no login: keep it on a private network."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from t2v_studio.errors import InputError, UnavailableError
from t2v_studio.library.index_chroma import ChromaIndex


class ChromaServerIndex(ChromaIndex):
    """The port over HTTP. Deleted text stays in the server's file until its keeper runs `chroma vacuum`."""

    batch = 200

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = urlsplit(url)
        try:
            port, readable = parts.port, True
        except ValueError:
            port, readable = None, False
        if parts.scheme not in ("http", "https") or not parts.hostname or not readable:
            raise InputError(
                "bad_setting",
                f"T2V_CHROMA_URL: {url!r} is not an address.",
                "Write it like http://127.0.0.1:8000, or unset it to use the embedded store.",
            )
        self.url = url
        self._host, self._port, self._ssl = parts.hostname, port or 8000, parts.scheme == "https"

    def _connect(self) -> Any:
        import chromadb
        from chromadb.config import Settings as ChromaSettings

        try:
            return chromadb.HttpClient(
                host=self._host,
                port=self._port,
                ssl=self._ssl,
                settings=ChromaSettings(anonymized_telemetry=False),
            )
        except Exception as error:  # the client raises ValueError, httpx and its own errors alike
            raise UnavailableError(
                "no_chroma_server",
                f"T2V_CHROMA_URL: no Chroma server answers at {self.url}.",
                "Start it with `chroma run`, or unset T2V_CHROMA_URL to use the embedded store.",
            ) from error
