"""A plan as rows, and back with a person's edits."""

from __future__ import annotations

import pytest
from stand_in import plan

from t2v_studio.errors import InputError
from t2v_studio.ui import plan_table


def test_rows_that_nobody_touched_give_the_same_plan():
    assert plan_table.edited(plan(), plan_table.rows_of(plan())) == plan()


def test_title_seconds_and_words_are_taken_over_and_a_changed_quote_loses_its_citation():
    rows = plan_table.rows_of(plan())
    rows[0][1], rows[0][2], rows[0][3], rows[1][4] = "Downhill", "3,5", "New words.", "label"
    made = plan_table.edited(plan(), rows)
    assert (made.scenes[0].title, made.scenes[0].seconds) == ("Downhill", 3.5)
    assert made.scenes[0].steps[0].say == "New words." and made.scenes[0].steps[0].cites == []
    assert made.scenes[0].steps[1].show == "label" and made.scenes[1] == plan().scenes[1]


def test_words_that_still_stand_in_the_source_keep_its_citation_with_its_page():
    rows = plan_table.rows_of(plan())
    assert rows[0][5] == "s1 p. 2"
    rows[0][3] = "gradient descent follows the negative slope"
    assert plan_table.edited(plan(), rows).scenes[0].steps[0].cites == ["s1"]


def test_a_cleared_step_is_dropped_and_a_cleared_scene_refused():
    rows = plan_table.rows_of(plan())
    rows[1][3] = "  "
    assert len(plan_table.edited(plan(), rows).scenes[0].steps) == 1
    rows[0][3] = ""
    with pytest.raises(InputError, match="Scene 1"):
        plan_table.edited(plan(), rows)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "121", "inf"])
def test_seconds_that_cannot_be_used_name_the_scene(text: str):
    rows = plan_table.rows_of(plan())
    rows[2][2] = text
    with pytest.raises(InputError, match="Scene 2"):
        plan_table.edited(plan(), rows)


def test_sorted_rows_still_find_their_places():
    assert plan_table.edited(plan(), list(reversed(plan_table.rows_of(plan())))) == plan()


def test_missing_rows_are_refused():
    with pytest.raises(InputError, match="rows of the plan"):
        plan_table.edited(plan(), plan_table.rows_of(plan())[:-1])


def test_words_beyond_the_contract_are_refused_by_name():
    rows = plan_table.rows_of(plan())
    rows[0][3] = "long " * 200
    with pytest.raises(InputError, match="say"):
        plan_table.edited(plan(), rows)
