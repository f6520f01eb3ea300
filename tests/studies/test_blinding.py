"""What reaches an examiner says nothing about which video is which."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pairs_on_disk import FPS, SECRET, make_pair_on_disk
from raters import answers, event

from t2v_studio.database import reading
from t2v_studio.errors import ConflictError, InputError, NotFoundError, StudioError
from t2v_studio.production.pairs import read_pair
from t2v_studio.studies.blinding import blind_pair
from t2v_studio.studies.checks import video_file
from t2v_studio.studies.desk import StudyDesk
from t2v_studio.video import ffmpeg
from t2v_studio.video.decode import frames, probe

ARMS = re.compile(r"no_rag|rag_semantic|rag_overlay|\brag\b|retriev|control|treated|variant|grounded", re.IGNORECASE)


def files_of(workspace, pair_id: str) -> tuple[Path, Path]:
    pair = read_pair(workspace, pair_id)
    return video_file(workspace, pair["no_rag"]), video_file(workspace, pair["rag_semantic"])


def boxes(path: Path) -> list[bytes]:
    """Names of the boxes of an MP4, in order, without their contents' size."""
    return re.findall(
        rb"ftyp|moov|mvhd|trak|tkhd|edts|mdia|hdlr|minf|stbl|udta|meta|ilst|chpl|mdat|free|uuid",
        path.read_bytes()[:4000],
    )


def described(path: Path) -> list[str]:
    """What ffmpeg says of a file's container and streams, without bit rates."""
    said = ffmpeg.run(ffmpeg.info_argv(ffmpeg.find_ffmpeg(), path)).stderr.decode()
    lines = [line for line in said[: said.index("Output #0")].splitlines() if path.stem not in line]
    kept = [re.sub(r"(bitrate: )?\d+ kb/s", "", line) for line in lines]
    assert any("Stream #0:0" in line for line in kept) and not any("Stream #0:1" in line for line in kept)
    return kept


def test_copies_lose_every_tag_and_keep_every_frame(workspace, tmp_path: Path) -> None:
    sources = files_of(workspace, make_pair_on_disk(workspace, "Attention"))
    assert probe(sources[1]).comment and probe(sources[1]).chapters, "the sources do name their arm"
    copies = blind_pair(*sources, tmp_path, FPS)
    for source, copy in zip(sources, copies, strict=True):
        assert re.fullmatch(r"[0-9a-f]{32}\.mp4", copy.path.name)
        raw = copy.path.read_bytes()
        for word in (b"no_rag", b"rag_semantic", SECRET.encode(), b"Attention", b"Lavf", b"Scene", b"vid_", b"text"):
            assert word not in raw
        shape = probe(copy.path)
        assert shape.comment == "" and shape.chapters == [] and shape.frames == 8
        for one, two in zip(frames(source), frames(copy.path), strict=True):
            assert (one == two).all()
    one, two = copies
    assert one.token != two.token and boxes(one.path) == boxes(two.path)
    assert {**probe(one.path).tags} == {**probe(two.path).tags}
    assert one.path.stat().st_mtime == two.path.stat().st_mtime
    assert (one.frames, one.duration_s) == (two.frames, two.duration_s) == (8, 1.0)
    assert described(one.path) == described(two.path)


@pytest.mark.parametrize("lengths", [(8, 12), (13, 6)])
def test_the_shorter_video_is_held_on_its_last_frame(workspace, tmp_path: Path, lengths: tuple[int, int]) -> None:
    sources = files_of(workspace, make_pair_on_disk(workspace, "Attention", frames=lengths))
    copies = blind_pair(*sources, tmp_path, FPS)
    assert [probe(copy.path).frames for copy in copies] == [max(lengths)] * 2 == [copy.frames for copy in copies]
    for source, copy, length in zip(sources, copies, lengths, strict=True):
        before, after = list(frames(source)), list(frames(copy.path))
        assert len(after) == max(lengths)
        for n, frame in enumerate(after):
            wanted = before[min(n, length - 1)]
            assert abs(frame.astype(int) - wanted).mean() < 3
    assert described(copies[0].path) == described(copies[1].path), "both are encoded the same way"


def test_unequal_sizes_are_refused_and_leave_nothing(workspace, tmp_path: Path, monkeypatch) -> None:
    import pairs_on_disk

    one = files_of(workspace, make_pair_on_disk(workspace, "Attention"))[0]
    monkeypatch.setattr(pairs_on_disk, "WIDTH", 160)
    two = files_of(workspace, make_pair_on_disk(workspace, "Attention"))[1]
    with pytest.raises(InputError):
        blind_pair(one, two, tmp_path, FPS)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(StudioError):
        blind_pair(one, tmp_path / "broken.mp4", tmp_path, FPS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "home"]


def everything_said(desk: StudyDesk, study_id: str) -> tuple[list[Any], list[Path]]:
    """Every answer that one examiner gets from first to last, errors too."""
    token = desk.invite(study_id, "ada")["token"]
    said: list[Any] = [desk.enter(token)]
    rater, position, paths = said[0]["rater"], 0, []
    said.append(desk.consent(rater))

    def failing(act: Any) -> None:
        with pytest.raises(StudioError) as caught:
            act()
        said.append(caught.value.as_dict())

    while position is not None:
        screen = desk.screen(rater, position)
        said.append(screen)
        paths += [desk.media(rater, screen[side]["token"]) for side in ("left", "right")]
        failing(lambda mine=screen["assignment"]: desk.submit(rater, mine))
        said.append(desk.save(rater, answers(screen)))
        said.append(
            desk.save(rater, [event(screen["assignment"], side="left", criterion="clarity", value=2, based_on=0)])
        )
        said.append(desk.submit(rater, screen["assignment"]))
        said.append(desk.screen(rater, position))
        position = said[-2]["next"]
    said.append(desk.last_questions(rater))
    said.append(desk.finish(rater))
    failing(lambda: desk.screen(rater, 99))
    failing(lambda: desk.media(rater, "../../studio.db"))
    failing(lambda: desk.media(rater, "0" * 32))
    failing(lambda: desk.save(rater, [event("screen_unknown", side="left", criterion="clarity", value=2)]))
    desk.close(study_id)
    failing(lambda: desk.save(rater, answers(screen)))
    return said, paths


def test_nothing_that_an_examiner_gets_names_an_arm(locked) -> None:
    desk, study_id = locked
    said, paths = everything_said(desk, study_id)
    text = json.dumps(said)
    assert not ARMS.search(text), ARMS.search(text)
    with reading(desk.workspace.database) as connection:
        hidden = [SECRET, study_id, str(desk.workspace.outputs), "outputs", ".mp4", "identical", "repeat", "A diagram"]
        for row in connection.execute("SELECT id, video_id, sha256, blind_token, blind_sha256 FROM clip"):
            hidden += list(row)
        hidden += [row["pair_id"] for row in connection.execute("SELECT pair_id FROM topic")]
    for word in hidden:
        assert word not in text, word
    for path in paths:
        assert not ARMS.search(path.name) and re.fullmatch(r"[0-9a-f]{32}\.mp4", path.name)


def test_no_media_token_is_seen_twice(locked) -> None:
    """Neither a repeat, nor the pair of one clip with itself, nor another examiner's screen gives itself away."""
    desk, _ = locked
    with reading(desk.workspace.database) as connection:
        rows = connection.execute("SELECT * FROM assignment").fetchall()
    tokens = [row[f"{side}_token"] for row in rows for side in ("left", "right")]
    assert len(set(tokens)) == len(tokens)
    same = [row for row in rows if row["kind"] == "identical"]
    assert len(same) == 8 and all(row["left_clip"] == row["right_clip"] for row in same)


def test_media_are_for_their_own_examiner_only(scene) -> None:
    ada, bo = scene("ada"), scene("bo")
    token = ada.screen()["left"]["token"]
    assert ada.desk.media(ada.rater, token).is_file()
    for rater, asked in ((bo.rater, token), (ada.rater, token.upper()), (ada.rater, f"{token}.mp4"), ("", token)):
        with pytest.raises(NotFoundError):
            ada.desk.media(rater, asked)
    with pytest.raises(NotFoundError):
        bo.save(event(ada.screen()["assignment"], side="left", criterion="clarity", value=3))


def test_screens_come_one_after_the_other(scene) -> None:
    ada = scene("ada")
    assert ada.screen(1)["position"] == 1, "the next one may be loaded ahead"
    with pytest.raises(ConflictError) as caught:
        ada.screen(2)
    assert caught.value.code == "not_yet"
    ada.answer(0)
    assert ada.screen(2)["position"] == 2 and ada.screen(0)["done"] is True
    with pytest.raises(NotFoundError):
        ada.screen(-1)


def test_practice_comes_first_and_is_said(scene) -> None:
    ada = scene("ada")
    ada.answer(0)
    assert [ada.screen(n)["practice"] for n in (0, 1)] == [True, True]
    ada.answer(1)
    assert ada.screen(2)["practice"] is False
