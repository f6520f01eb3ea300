"""From records and ratings to rows: what goes in, what stays out and why, and what stays the author's."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from training_clips import BEING_SCORED, QUOTE, SCORED, Clips

from t2v_studio.datasets.rows import clip_file, data_hash, read_manifest, sha256_of
from t2v_studio.errors import InputError, NotFoundError, StudioError
from t2v_studio.jobs.manifest_desk import ManifestDesk


def desk_of(clips: Clips) -> ManifestDesk:
    return ManifestDesk(clips.settings, clips.workspace)


def reasons(found: dict[str, Any]) -> dict[str, list[str]]:
    """Record id to the codes that leave it out."""
    return {one["id"]: [reason["code"] for reason in one["reasons"]] for one in found["exclusions"]}


def test_every_clip_that_is_left_out_has_its_reason(clips: Clips) -> None:
    found = desk_of(clips).preview()
    told, single = reasons(found), clips.single
    assert told[single["fallback"]] == ["fallback"]
    assert told[single["black"]] == ["degenerate"]
    assert told[single["gif"]] == ["gif"]
    assert told[single["changed"]] == ["hash_mismatch"]
    assert told[single["gone"]] == ["missing_file"]
    # a copy and its original show the same pictures: the older one stays
    assert told[single["copy"]] == ["duplicate"] and single["plain"] not in told
    for topic in BEING_SCORED:
        for arm in ("no_rag", "rag_semantic"):
            assert told[clips.pairs[topic][arm]["id"]] == ["open_study"]
    kept = {clips.pairs[topic][arm]["id"] for topic in SCORED for arm in ("no_rag", "rag_semantic")}
    assert {row["record_id"] for row in found["rows"]} == kept | {single["plain"]}
    assert all(reason["message"] for one in found["exclusions"] for reason in one["reasons"])


def test_what_is_left_out_comes_in_when_it_is_asked_for(clips: Clips) -> None:
    found = desk_of(clips).preview(include=["fallback", "gif", "degenerate", "study"])
    assert set(reasons(found)) == {clips.single[name] for name in ("changed", "gone", "copy")}
    rows = {row["record_id"]: row for row in found["rows"]}
    fallen = rows[clips.single["fallback"]]
    assert fallen["fallback"] and fallen["engine"] == "local"
    assert rows[clips.single["black"]]["verdict"] == "black" and rows[clips.single["black"]]["engine"] == "diffusion"


def test_scores_are_the_means_that_examiners_gave(clips: Clips) -> None:
    rows = {row["record_id"]: row for row in desk_of(clips).preview()["rows"]}
    for topic, given in SCORED.items():
        for arm, score in zip(("no_rag", "rag_semantic"), given, strict=True):
            row = rows[clips.pairs[topic][arm]["id"]]
            assert row["score"] == score and set(row["scores"].values()) == {score}
            assert row["ratings"] == 10, "two examiners, five criteria"
            assert row["arm"] == arm
    assert rows[clips.single["plain"]]["score"] is None


def test_scores_are_remembered_and_a_spoilt_memory_is_made_again(own_clips: Clips) -> None:
    desk = desk_of(own_clips)
    before = desk.preview(min_score=4)["rows"]
    (kept,) = (own_clips.workspace.cache / "scores").glob("*.json")
    for spoilt in ("", "[1]", '[["a", "b", "c"]]'):
        kept.write_text(spoilt)
        assert desk.preview(min_score=4)["rows"] == before
    kept.write_text("[]")
    assert desk.preview()["summary"]["notices"], "what is remembered is what counts"


def test_a_lowest_score_takes_the_scored_clips_alone(clips: Clips) -> None:
    found = desk_of(clips).preview(min_score=4, criterion=["clarity", "correctness"])
    kept = {clips.pairs[topic][arm]["id"] for topic, arms in SCORED.items() for arm, score in
            zip(("no_rag", "rag_semantic"), arms, strict=True) if score >= 4}  # fmt: skip
    assert {row["record_id"] for row in found["rows"]} == kept and len(kept) == 4
    told = reasons(found)
    assert told[clips.single["plain"]] == ["not_scored"]
    assert told[clips.pairs["attention"]["no_rag"]["id"]] == ["low_score", "low_score"]
    assert found["summary"]["notices"] == [], "nothing unscored is left"


def test_filters_by_engine_topic_and_verdict(clips: Clips) -> None:
    desk = desk_of(clips)
    assert [row["record_id"] for row in desk.preview(verdict=["black"])["rows"]] == [clips.single["black"]]
    drawn = desk.preview(engine=["diffusion"], include=["degenerate"])["rows"]
    assert [row["record_id"] for row in drawn] == [clips.single["black"]]
    assert {row["topic_tag"] for row in desk.preview(topic=["attention"])["rows"]} == {"attention"}


def test_a_test_study_keeps_its_topics_out_even_when_it_is_closed(clips: Clips) -> None:
    found = desk_of(clips).preview(test_study=[clips.closed])
    assert [row["record_id"] for row in found["rows"]] == [clips.single["plain"]]
    told = reasons(found)
    assert told[clips.pairs["attention"]["no_rag"]["id"]] == ["test_study"]
    with pytest.raises(NotFoundError, match="study_000000"):
        desk_of(clips).preview(test_study=["study_000000"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"criterion": ["clarty"], "min_score": 4}, "clarty"),
        ({"criterion": ["clarity"]}, "lowest score"),
        ({"min_score": 7}, "min_score"),
        ({"split": [0.5, 0.6]}, "split"),
        ({"include": ["everything"]}, "everything"),
        ({"trigger_token": "two words"}, "trigger_token"),
        ({"min_scor": 4}, "min_scor"),
        ({"unit": "frame"}, "unit"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(clips: Clips, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        desk_of(clips).preview(**fields)


def test_captions_come_from_the_plan_with_the_trigger_first(clips: Clips) -> None:
    rows = {row["record_id"]: row for row in desk_of(clips).preview(trigger_token="acad_v2")["rows"]}
    row = rows[clips.pairs["attention"]["rag_semantic"]["id"]]
    assert row["caption"].startswith("acad_v2, Explainer video on attention, 2 scenes. Understand attention.")
    assert "Subtract the derivative" in row["caption"]
    assert "Subtract the derivative" not in rows[clips.pairs["attention"]["no_rag"]["id"]]["caption"]


def test_scenes_as_rows_have_their_own_prompt_and_their_part_of_the_file(clips: Clips) -> None:
    found = desk_of(clips).preview(unit="scene", trigger_token="")
    mine = [row for row in found["rows"] if row["record_id"] == clips.pairs["attention"]["rag_semantic"]["id"]]
    assert [(row["scene"], row["start_frame"], row["frames"]) for row in mine] == [("start", 0, 4), ("end", 4, 4)]
    assert mine[0]["caption"] == f"attention, the start. {QUOTE}"
    assert len({row["split"] for row in mine}) == 1
    codes = reasons(found)
    assert codes[f"{clips.single['fallback']}#start"] == ["fallback"]


def test_a_saved_manifest_reads_back_and_its_paths_are_relative(own_clips: Clips) -> None:
    desk = desk_of(own_clips)
    made = desk.build(min_score=2)
    rows = read_manifest(Path(made["jsonl"]), check_hashes=True)
    assert len(rows) == made["clips"] == 6 and made["leaks"]["ok"]
    assert not any(Path(row.video_path).is_absolute() for row in rows)
    assert str(own_clips.home) not in Path(made["jsonl"]).read_text()
    assert data_hash(rows) == made["data_hash"]
    for row in rows:
        assert sha256_of(clip_file(Path(made["jsonl"]), row)) == row.sha256
    # the whole workspace may move
    moved = own_clips.home.with_name("elsewhere")
    own_clips.home.rename(moved)
    there = moved / Path(made["jsonl"]).relative_to(own_clips.home)
    assert len(read_manifest(there, check_hashes=True)) == 6


def test_the_csv_says_the_same_as_the_jsonl(own_clips: Clips) -> None:
    made = desk_of(own_clips).build(min_score=2)
    rows = read_manifest(Path(made["jsonl"]))
    with Path(made["csv"]).open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [line["id"] for line in table] == [row.id for row in rows]
    assert [line["caption"] for line in table] == [row.caption for row in rows]
    assert [float(line["score_clarity"]) for line in table] == [row.scores["clarity"] for row in rows]


def test_the_same_clips_give_the_same_manifest(own_clips: Clips) -> None:
    one, two = desk_of(own_clips).build(), desk_of(own_clips).build()
    assert Path(one["jsonl"]).read_bytes() == Path(two["jsonl"]).read_bytes()
    assert {row["id"] for row in desk_of(own_clips).manifests()} == {one["id"], two["id"]}


def test_a_manifest_elsewhere_has_its_own_relative_paths(own_clips: Clips, tmp_path: Path) -> None:
    output = tmp_path / "sets" / "course.jsonl"
    made = desk_of(own_clips).build(output_jsonl=output)
    assert made["output"] == [str(output), str(output.with_suffix(".csv"))]
    assert len(read_manifest(output, check_hashes=True)) == made["clips"]
    with pytest.raises(InputError, match="jsonl"):
        desk_of(own_clips).build(output_jsonl=tmp_path / "course.json")


def test_copies_of_videos_are_found_by_the_record_they_hold(own_clips: Clips, tmp_path: Path) -> None:
    import shutil

    source = own_clips.workspace.video(own_clips.single["plain"])
    folder = tmp_path / "footage" / "deep"
    folder.mkdir(parents=True)
    shutil.copyfile(source / "video.mp4", folder / "lesson.mp4")  # its record is in the comment tag
    (folder / "other.mp4").write_bytes(b"no video at all")
    made = desk_of(own_clips).build(input_root=tmp_path / "footage", globs=["**/*.mp4"])
    assert [row["record_id"] for row in desk_of(own_clips).rows(made["id"])] == [own_clips.single["plain"]]
    assert made["reasons"] == {"no_record": 1}
    with pytest.raises(InputError, match="glob"):
        desk_of(own_clips).build(input_root=tmp_path, globs=["../**/*.mp4"])


def test_captions_by_hand_outlive_the_manifest(own_clips: Clips) -> None:
    desk = desk_of(own_clips)
    made = desk.build(min_score=2)
    clip = desk.rows(made["id"])[0]["id"]
    row = desk.edit_caption(made["id"], clip, "acad_course_v1,  A ball\nrolls downhill.")
    assert row["caption"] == "acad_course_v1, A ball rolls downhill."
    assert desk.manifest(made["id"])["data_hash"] != made["data_hash"]
    later = desk.build(trigger_token="acad_v2")
    assert {row["id"]: row["caption"] for row in desk.rows(later["id"])}[clip] == "acad_v2, A ball rolls downhill."
    with pytest.raises(InputError, match="empty"):
        desk.edit_caption(made["id"], clip, " acad_course_v1, ")
    with pytest.raises(NotFoundError, match="vid_nothing"):
        desk.edit_caption(made["id"], "vid_nothing", "x")
    desk.set_caption(clip, "", "")
    assert "Explainer video" in {row["id"]: row for row in desk.preview()["rows"]}[clip]["caption"]


def test_an_empty_outcome_says_what_left_the_clips_out(clips: Clips) -> None:
    with pytest.raises(StudioError, match="low score") as caught:
        desk_of(clips).build(min_score=5, criterion=["clarity"], topic=["a_search"])
    assert caught.value.code == "empty_manifest"


def test_a_check_finds_clips_that_changed_since(own_clips: Clips) -> None:
    desk = desk_of(own_clips)
    made = desk.build(min_score=2)
    assert desk.check(made["id"])["ok"]
    row = desk.rows(made["id"])[0]
    with Path(row["video"]).open("ab") as stream:
        stream.write(b"\0")
    found = desk.check(made["id"])
    assert not found["ok"] and found["changed"] == [f"{row['id']}: {row['video_path']} has changed."]
    with pytest.raises(InputError, match="1 of 6 clips"):
        read_manifest(Path(made["jsonl"]), check_hashes=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda line: "{", "line 1"),
        (lambda line: line.replace('"video_path":"', '"video_path":"/'), "video_path"),
        (lambda line: line.replace('"weight":1.0', '"weight":0.0'), "weight"),
        (lambda line: line + line, "stands twice"),
    ],
)
def test_a_manifest_that_was_spoilt_by_hand_names_the_line(own_clips: Clips, spoil: Any, said: str) -> None:
    path = Path(desk_of(own_clips).build(min_score=2)["jsonl"])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(spoil(lines[0]) + "".join(lines[1:]))
    with pytest.raises(InputError, match=said):
        read_manifest(path)


def test_a_manifest_that_is_not_there(clips: Clips, tmp_path: Path) -> None:
    for call in (lambda: read_manifest(tmp_path), lambda: desk_of(clips).manifest("set_0123456789")):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(NotFoundError):
        desk_of(clips).manifest("../../secret")
