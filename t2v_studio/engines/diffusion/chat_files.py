"""Language models as things to fetch: the chat models of `data/planner_models.yaml`, in the store of the video models."""

from __future__ import annotations

from dataclasses import dataclass

from t2v_studio.engines.diffusion.models import Bundle
from t2v_studio.planning.chat_model import chat_models


@dataclass(frozen=True)
class ChatEntry:
    """What `download` needs to know of a chat model."""

    name: str
    repo_id: str
    revision: str
    title: str

    def bundles(self) -> list[Bundle]:
        """Its one repository; without parts, the files in its root are meant."""
        return [Bundle(repo_id=self.repo_id, revision=self.revision, parts={})]


def chat_entries() -> list[ChatEntry]:
    return [
        ChatEntry(row["name"], row["repo_id"], row["revision"], row["repo_id"].rpartition("/")[2])
        for row in chat_models()
    ]


def chat_entry(name_or_id: str) -> ChatEntry | None:
    """The chat model of a name or repository id; None where it is none."""
    wanted = name_or_id.lower()
    return next((one for one in chat_entries() if wanted in (one.name, one.repo_id.lower())), None)
