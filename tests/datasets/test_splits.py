"""Splits by family: nothing in two of them, none empty without a word."""

from __future__ import annotations

import itertools

import pytest

from t2v_studio.datasets.rows import ManifestRow, latent_path, slug
from t2v_studio.datasets.splits import check_leaks, parse_shares, split_families, split_table
from t2v_studio.errors import InputError


def families(count: int, clips: int = 2) -> dict[str, int]:
    return {f"topic{n}-{n}": clips for n in range(count)}


def row(number: int, split: str, **fields: object) -> ManifestRow:
    data = {"id": f"vid_{number}", "video_path": "v.mp4", "caption": "c", "split": split, "topic_tag": "t", "topic": f"t{number}",
            "family": f"t-{number}", "record_id": f"vid_{number}", "sha256": f"{number:064x}", "frames": 8, "fps": 8, "width": 128,
            "height": 128}  # fmt: skip
    return ManifestRow.model_validate(data | fields)


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (5, (3, 1, 1)), (6, (4, 1, 1)), (10, (8, 1, 1)), (24, (19, 3, 2))],
)
def test_no_split_stays_empty_where_families_are_enough(count: int, wanted: tuple[int, int, int]) -> None:
    made = split_families(families(count))
    assert tuple(made.families.values()) == wanted
    assert sum(made.clips.values()) == 2 * count
    assert any("empty" in text for text in made.warnings) == (0 in wanted)


def test_shares_hold_for_every_size_and_share() -> None:
    for count, shares in itertools.product(range(1, 60), [(0.8, 0.1, 0.1), (0.5, 0.5, 0), (1, 0, 0), (0.2, 0.2, 0.6)]):
        made = split_families(families(count), shares)
        held = list(made.families.values())
        assert sum(held) == count
        for share, have in zip(shares, held, strict=True):
            assert share > 0 or have == 0
            assert abs(have - share * count) < 2 or count < 3
        if count >= 3:
            assert all(have for share, have in zip(shares, held, strict=True) if share)


def test_order_does_not_matter_and_the_seed_does() -> None:
    there = families(20)
    back = dict(reversed(there.items()))
    assert split_families(there).by_family == split_families(back).by_family
    assert split_families(there, seed=1).by_family != split_families(there, seed=2).by_family


def test_families_of_unequal_size_are_told() -> None:
    made = split_families({"a-1": 90, "b-2": 1, "c-3": 1})
    assert any("Families are kept whole" in text for text in made.warnings)


@pytest.mark.parametrize(
    "text", ["0.8,0.1", "0.8,0.3,0.1", "a,b", "0,0.5,0.5", "0.8,-0.1,0.3", "", "1,0,0,0", "nan,0,1"]
)
def test_shares_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="split"):
        parse_shares(text)


def test_two_shares_leave_test_empty() -> None:
    assert parse_shares("0.9,0.1") == (0.9, 0.1, 0.0)
    assert split_families(families(10), parse_shares("0.9,0.1")).warnings == []


def test_leaks_are_found_by_family_record_and_file() -> None:
    clean = [row(1, "train"), row(2, "val"), row(3, "test")]
    assert check_leaks(clean) == {"ok": True, "leaks": [], "notes": []}
    for spoilt in ({"family": "t-1"}, {"record_id": "vid_1"}, {"sha256": f"{1:064x}"}):
        found = check_leaks([*clean, row(4, "val", **spoilt)])
        assert not found["ok"] and found["leaks"][0]["splits"] == ["train", "val"]
    same_topic = check_leaks([*clean, row(4, "val", topic="t1")])
    assert same_topic["ok"] and "t1" in same_topic["notes"][0]


def test_the_table_counts_what_there_is() -> None:
    table = split_table([row(1, "train"), row(2, "train", topic_tag="u"), row(3, "val")])
    assert [(one["split"], one["clips"], one["families"], one["seconds"]) for one in table] == [
        ("train", 2, 2, 2.0), ("val", 1, 1, 1.0), ("test", 0, 0, 0)]  # fmt: skip
    assert table[0]["topics"] == {"t": 1, "u": 1}


def test_names_stay_plain() -> None:
    assert slug("Gradient descent!") == "gradient_descent" and slug("  ") == ""
    assert slug("注意力") != slug("熵") and slug("注意力").isalnum()
    assert latent_path("ab" * 32, "press room") == f"press_room/{'ab' * 10}.safetensors"
    assert latent_path("ab" * 32, "x", start_frame=17, suffix=".npz") == f"x/{'ab' * 10}-17.npz"
