"""What a person or a book wrote never becomes markup, and times read well."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from stand_in import StandIn, passage, plan

from t2v_studio.jobs.model import Job
from t2v_studio.library.passages import Evidence, SearchResult
from t2v_studio.settings import Settings
from t2v_studio.ui import markup
from t2v_studio.ui.components import books, evidence, header, job_card, jobs_panel

ATTACK = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>${alert(3)}"


@pytest.fixture
def job(settings: Settings) -> Job:
    return StandIn(settings).queue("video", "Video x", {})


def _assert_harmless(html: str) -> None:
    assert "onerror" in html, "the text itself must be shown"
    assert "<img src=x" not in html and "<script" not in html and "\"'>" not in html


def test_text_of_users_and_books_is_escaped_everywhere(job: Job):
    hostile = plan(ATTACK)
    hostile.sources[0].book = hostile.sources[0].quote = hostile.sources[0].section = ATTACK
    bad = passage(1, text=ATTACK).model_copy(update={"section": ATTACK, "id": ATTACK, "reason": ATTACK})
    row = {
        "book": ATTACK,
        "title": ATTACK,
        "file_name": ATTACK,
        "pages": 1,
        "kept": 1,
        "rejected": 1,
        "reasons": {ATTACK: 2},
    }
    failed = replace(
        job, title=ATTACK, state="failed", stage=ATTACK, message=ATTACK, error={"message": ATTACK, "hint": ATTACK}
    )
    running = replace(failed, state="running")
    hit = Evidence(passage=bad, book=ATTACK, page=1, label=ATTACK, score=0.5)
    for html in (
        evidence.sources(hostile),
        evidence.difference(
            hostile,
            plan(cited=False).model_copy(update={"scenes": [hostile.scenes[0].model_copy(update={"title": ATTACK})]}),
        ),
        evidence.grounding(
            {"scenes": [{"id": "a", "title": ATTACK, "step_words": [ATTACK], "cites": [ATTACK]}], "words": 1}
        ),
        books.books_table([row], ATTACK),
        books.about(row),
        books.passages_table([bad], bad.id),
        books.hits(SearchResult(query=ATTACK, outcome="found", hits=[hit], message=ATTACK)),
        job_card.card(failed, ATTACK),
        jobs_panel.drawer([running], {}),
        header.markup_of(ATTACK),
        markup.notice(ATTACK, ATTACK),
    ):
        _assert_harmless(html)


def test_differing_words_are_marked_on_both_sides():
    left, right = evidence.marked("walk down the hill", "walk down the steep hill")
    assert "<mark>" not in left and "<mark>steep</mark>" in right.replace("steep ", "steep").replace(
        "<mark>steep</mark> ", "<mark>steep</mark>"
    )


def test_time_left_only_shrinks_between_two_steps_and_goes_when_it_is_over(job: Job):
    now = datetime.now(UTC)
    running = replace(job, state="running", step=3, total=9, stage_ends_at=(now + timedelta(seconds=60)).isoformat())
    left = [job_card.seconds_left(running, now + timedelta(seconds=passed)) for passed in (0, 20, 50, 61, 600)]
    assert left == [pytest.approx(60), pytest.approx(40), pytest.approx(10), None, None]
    assert "left" in job_card.progress(running) and "left" not in job_card.progress(
        replace(running, stage_ends_at=None)
    )
    assert job_card.seconds_left(replace(running, stage_ends_at=None), now) is None
    assert job_card.seconds_left(replace(running, state="succeeded"), now) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.25, "4.2 s"), (59, "59 s"), (75, "1 min 15 s"), (3700, "1 h 01 min"), (None, "")]
)
def test_durations(seconds: float | None, words: str):
    assert markup.duration(seconds) == words


def test_pages_with_printed_label():
    assert markup.pages({"page": 12, "page_last": 13, "label": "4"}) == "pp. 12–13 (printed 4)"
    assert markup.pages({"page": 12, "label": "12"}) == "p. 12"


def test_outcome_of_a_job_says_what_can_be_opened(job: Job):
    done = replace(job, state="succeeded")
    assert job_card.outcome(replace(done, result={"id": "vid_1", "video": "v.mp4"})) == ("video", "vid_1")
    assert job_card.outcome(replace(done, result={"id": "pair_1", "no_rag": {}, "rag_semantic": {}})) == (
        "pair",
        "pair_1",
    )
    assert job_card.outcome(replace(done, result={"plan": {}})) == ("plan", job.id)
    assert job_card.outcome(replace(done, result={"book": "b", "kept": 3})) == ("book", "b")
    assert job_card.outcome(replace(job, state="failed", result={"id": "v", "video": "v"})) == ("", "")
