"""Faults in the text of a row: secrets, addresses of people, broken encodings."""

from __future__ import annotations

import re
from collections.abc import Iterator

SECRETS: dict[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "an API key": re.compile(r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})\b"),
    "an AWS key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Slack token": re.compile(r"\bxox[abposr]-[A-Za-z0-9-]{10,}\b"),
    "a JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a password in an address": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/:@]{3,}@[\w.-]+"),
    "a written-out secret": re.compile(
        r"""(?i)\b(?:password|passwd|secret|api[_-]?key|access[_-]?token)\b["']?\s*[:=]\s*["'][^"'\s]{8,}["']"""
    ),
}
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[a-z]{2,}\b", re.I)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def secrets_in(text: str) -> list[str]:
    """What kinds of secret stand in a text; the secret itself is never given back."""
    return [name for name, pattern in SECRETS.items() if pattern.search(text)]


def has_mail(text: str) -> bool:
    """Whether an e-mail address stands there; those of example domains do not count."""
    return any(not match[0].lower().split("@")[1].startswith(("example.", "test.")) for match in _MAIL.finditer(text))


def encoding_faults(text: str) -> Iterator[tuple[str, str]]:
    """Reasons and fixes: lost characters, control characters, UTF-8 that was read as something else."""
    import ftfy

    if "\ufffd" in text:
        yield "a character was lost (U+FFFD)", "Read the source again with its own encoding."
    if _CONTROL.search(text):
        yield "it holds control characters", "Remove them."
    mended = ftfy.fix_encoding(text)
    if mended != text:
        where = next((i for i, (a, b) in enumerate(zip(text, mended, strict=False)) if a != b), 0)
        yield (
            f"it was read with the wrong encoding ({text[where : where + 12]!r})",
            f"It should read {mended[where : where + 12]!r}: mend it with ftfy.",
        )
