"""Whether a text is English, which templates, the embedder and the text encoders of video models expect."""

from __future__ import annotations

import re
import unicodedata

_WORDS = {
    "German": "der das und ist ein eine einer eines wie wird nicht mit von für zum zur im",
    "French": "le les une et est des du de la dans pour avec sur qui que comment",
    "Spanish": "el los las una y es del de la en para con por cómo qué",
    "Italian": "il lo gli una e è di della dei nel per con come che",
    "Portuguese": "o os uma e é do da dos das em para com por como que",
    "Dutch": "het een en van de met voor hoe wordt niet zijn op",
}
_SCRIPTS = {"GREEK", "LATIN"}
"""Scripts of an English text on mathematics."""


def foreign(text: str) -> str:
    """The language or script that a text is in, if it plainly is not English; else empty.

    A short text gives little to go by, so words that are English too do not count, and two are needed.
    """
    letters = [char for char in text if char.isalpha()]
    other = [char for char in letters if unicodedata.name(char, "LATIN").split()[0] not in _SCRIPTS]
    if other and len(other) * 2 >= len(letters):
        return unicodedata.name(other[0]).split()[0].capitalize() + " script"
    words = set(re.findall(r"[^\W\d_]+", text.lower()))
    if words & {"the", "of", "is", "how", "what", "and", "why", "does"}:
        return ""
    counts = {language: len(words & set(known.split())) for language, known in _WORDS.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] >= 2 else ""


def english_notice(field: str, text: str) -> str:
    """A notice where a field is not English; empty where it is."""
    found = foreign(text)
    if not found:
        return ""
    return f"{field} looks like {found}: templates, search and video models read English; write it in English."
