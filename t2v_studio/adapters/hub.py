"""What goes to the hub: shown first, in one commit, private unless that was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from t2v_studio.errors import InputError, StudioError, UnavailableError

_REPO = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")


@dataclass(frozen=True)
class Parcel:
    """What would be sent: to be shown before anything leaves the machine. files: README.md, the card, among them."""

    repo: str
    private: bool
    files: dict[str, bytes]

    def as_dict(self) -> dict[str, Any]:
        sizes = {name: len(data) for name, data in self.files.items()}
        return {"repo": self.repo, "private": self.private, "files": sizes, "card": self.files["README.md"].decode()}


def check_repo(repo: str, what: str) -> None:
    """Raises InputError for what is no owner/name. what: "repository" or "set"."""
    if not _REPO.match(repo):
        raise InputError("bad_repo", f"repo: {repo!r} is no name of a {what}.", "Write owner/name.")


def hub(token: str) -> Any:
    """The hub's interface."""
    from huggingface_hub import HfApi

    return HfApi(token=token)


def send(parcel: Parcel, token: str, connect: Callable[[str], Any], *, title: str, code: str, **kind: str) -> str:
    """Send a parcel's files in one commit; returns the commit's address. Raises StudioError.

    A repository that is there already and is public gets nothing while `private` was asked for.
    connect: `hub`. title: of the commit. code: of the error where the hub refuses. kind: repo_type, for a dataset.
    """
    if not token:
        raise UnavailableError(
            "no_token", "HF_TOKEN is not set.", "Set it in the environment to a token that may write."
        )
    from huggingface_hub import CommitOperationAdd

    api = connect(token)
    try:
        api.create_repo(parcel.repo, private=parcel.private, exist_ok=True, **kind)
        if parcel.private and not api.repo_info(parcel.repo, **kind).private:
            raise StudioError(
                "public_repo", f"{parcel.repo} is there already and is public.", "Name another, or say --public."
            )
        adds = [CommitOperationAdd(name, content) for name, content in parcel.files.items()]
        done = api.create_commit(parcel.repo, adds, commit_message=title, **kind)
    except StudioError:
        raise
    except Exception as error:  # the client raises errors of whatever library it sends with
        reason = str(error).replace(token, "***").splitlines()[0][:200] if str(error) else type(error).__name__
        raise StudioError(code, f"The hub did not take it: {reason}", "Nothing was changed here.") from error
    return str(done.commit_url)
