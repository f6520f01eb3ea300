"""Curves taken out of a page before pypdf parses it: a plot's thousands of points hold no text. Runs in the PDF child only."""

from __future__ import annotations

import re
from typing import Any

FEWEST_CURVES = 100
"""A stream with fewer path operators is parsed as it is."""
_TEXT_BLOCK = re.compile(rb"(?<!\S)BT(?=\s).*?(?<!\S)ET(?!\S)", re.S)
_CURVE = re.compile(rb"(?<!\S)(?:[-+]?[\d.]+\s+){2,6}(?:[mlcvy]|re)(?=\s)")
_INLINE_PICTURE = re.compile(rb"(?<!\S)BI(?=\s)")
_STREAM_KEYS = ("/Filter", "/DecodeParms", "/Length", "/F", "/FFilter", "/FDecodeParms")
_DEEPEST = 4


def pass_over_curves(page: Any) -> None:
    """Put streams without curves in place of a page's own and its forms', where these hold many."""
    from pypdf.generic import DecodedStreamObject, NameObject

    contents = page.get_contents()
    if contents is not None:
        data = contents.get_data()
        lighter = without_curves(data)
        if lighter is not data:
            stream = DecodedStreamObject()
            stream.set_data(lighter)
            page[NameObject("/Contents")] = stream
    _lighten_forms(page["/Resources"], 0)


def without_curves(data: bytes) -> bytes:
    """A content stream less its path operators outside of text blocks; the same object where it has few."""
    if len(data) < 12 * FEWEST_CURVES or _INLINE_PICTURE.search(data):
        return data
    parts: list[bytes] = []
    taken, start = 0, 0
    for block in _TEXT_BLOCK.finditer(data):
        drawing, count = _CURVE.subn(b"", data[start : block.start()])
        taken += count
        parts += [drawing, block[0]]
        start = block.end()
    drawing, count = _CURVE.subn(b"", data[start:])
    return b"".join([*parts, drawing]) if taken + count >= FEWEST_CURVES else data


def _lighten_forms(resources: Any, depth: int) -> None:
    """Forms are replaced where they are named, so a form that many pages share is looked at once."""
    from pypdf.generic import DecodedStreamObject, NameObject

    resources = resources.get_object()
    named = resources.get("/XObject")
    for name, held in list(named.get_object().items()) if named is not None and depth < _DEEPEST else []:
        form = held.get_object()
        if form.get("/Subtype") != "/Form" or form.get("/T2VLight"):
            continue
        form[NameObject("/T2VLight")] = NameObject("/Yes")
        if "/Resources" in form:
            _lighten_forms(form["/Resources"], depth + 1)
        data = form.get_data()
        lighter = without_curves(data)
        if lighter is not data:
            stream = DecodedStreamObject()
            stream.update({key: value for key, value in form.items() if key not in _STREAM_KEYS})
            stream.set_data(lighter)
            named.get_object()[name] = stream
