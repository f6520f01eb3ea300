"""Cues that can be read: two lines of 42 characters, in order, covering all that is said."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from t2v_studio.video.subtitles import LINE_CHARS, MAX_LINES, cues, srt, vtt

LONG = (
    "The gradient points uphill, so we step the other way. A learning rate that is too large makes the point jump "
    "over the valley; the loss then grows with every step we take, and training diverges instead of settling at "
    "the minimum that we were looking for in the first place."
)
TEXTS = [
    LONG,
    "Short.",
    "word " * 119,
    "x" * 300,
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen ist ein langes Wort, und dieser Satz geht danach weiter.",
    "a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. a. b. c. d. e. f. g. h. i. j.",
]


@pytest.mark.parametrize("text", TEXTS)
def test_every_cue_fits_and_no_word_is_lost(text: str) -> None:
    found = cues([(text, 2.0, 30.0)])
    assert all(1 <= len(cue.lines) <= MAX_LINES for cue in found)
    assert all(0 < len(line) <= LINE_CHARS for cue in found for line in cue.lines)
    said = "".join(line for cue in found for line in cue.lines)
    assert said.replace(" ", "") == text.replace(" ", "")
    assert found[0].start_s == 2.0 and found[-1].end_s == 30.0
    assert all(one.end_s == two.start_s for one, two in pairwise(found))
    assert all(cue.start_s < cue.end_s for cue in found)


def test_time_is_shared_by_length() -> None:
    found = cues([(LONG, 0.0, 20.0)])
    speeds = [sum(map(len, cue.lines)) / (cue.end_s - cue.start_s) for cue in found]
    assert max(speeds) == pytest.approx(min(speeds))


def test_no_scrap_stands_alone() -> None:
    """A long sentence is parted evenly: no cue of one left-over word."""
    sentence = "a learning rate that is too large makes the point jump over the valley and the loss then grows fast"
    lengths = [sum(map(len, cue.lines)) for cue in cues([(sentence, 0, 8)])]
    assert len(lengths) == 2
    assert min(lengths) > 0.7 * max(lengths)


def test_lines_are_balanced() -> None:
    (cue,) = cues([("Take the slope and multiply it by the rate of learning.", 0, 4)])
    assert len(cue.lines) == 2
    assert abs(len(cue.lines[0]) - len(cue.lines[1])) <= 8


def test_srt_text() -> None:
    assert srt([("First things.", 0, 2.5), ("Then the rest.", 2.5, 3661.25)]) == (
        "1\n00:00:00,000 --> 00:00:02,500\nFirst things.\n\n2\n00:00:02,500 --> 01:01:01,250\nThen the rest.\n"
    )


def test_vtt_text() -> None:
    assert vtt([("a < b & c --> d", 0, 2)]) == "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\na &lt; b &amp; c --&gt; d\n"


def test_srt_holds_no_markup_and_no_second_arrow() -> None:
    text = srt([("if a <b> then x --> y", 0, 2)])
    assert text.count("-->") == 1
    assert not re.search(r"<|>(?! )", text.replace("-->", ""))


def test_nothing_said() -> None:
    assert srt([("", 0, 2), ("  \n ", 2, 3), ("late", 3, 3)]) == ""
    assert vtt([]) == "WEBVTT\n"


def test_newlines_in_a_text_do_not_end_a_cue() -> None:
    assert srt([("one\n\ntwo", 0, 2)]).splitlines() == ["1", "00:00:00,000 --> 00:00:02,000", "one two"]
