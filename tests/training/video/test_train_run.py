"""A whole training on a tiny model: it learns, it can be left and taken up, it checks itself, and what it writes is used."""

from __future__ import annotations

import csv
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_clips import small

from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import TrainingRun, read_json, read_lines, step_name
from t2v_studio.errors import CancelledError, ConflictError, StudioError
from t2v_studio.workspace import Workspace
from training.video import measures, run, sampling
from training.video.checkpoints import checkpoints

Opened = Callable[[TrainingRun], Any]
NewRun = Callable[..., TrainingRun]


def weights_of(workspace: Workspace, result: dict[str, Any]) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(workspace.adapter(result["adapter"]) / WEIGHTS)


def test_the_loss_falls_on_clips_that_can_be_learned_by_heart(new_run: NewRun, open_run: Opened) -> None:
    recipe = small(
        steps=30,
        learning_rate=0.02,
        rank=16,
        accumulation=4,
        prompt_dropout=0,
        save_every=30,
        validate_every=30,
        seed=1,
    )
    made = new_run(recipe)
    result = run.work(open_run(made))[0]
    assert result["metrics"]["val_loss"] < 0.97 * result["base"]["val_loss"], "on the clip that was held out"
    rows, _ = read_lines(made.part().log)
    assert [row["step"] for row in rows] == list(range(1, 31))
    first, last = (np.mean([row["loss"] for row in some]) for some in (rows[:6], rows[-6:]))
    assert last < 0.97 * first
    assert rows[0]["lr"] < rows[5]["lr"] == 0.02 and all(row["grad_norm"] > 0 for row in rows)


def test_a_second_run_touches_no_cached_file(new_run: NewRun, open_run: Opened, workspace: Workspace) -> None:
    session = open_run(new_run())
    run.work(session, "latents")
    run.work(session, "text")
    files = {path: path.stat().st_mtime_ns for path in session.cache.folder.rglob("*.safetensors")}
    assert len(files) == 6 + 7, "six clips, six captions and the empty prompt"
    again = open_run(new_run())
    run.work(again, "latents")
    run.work(again, "text")
    assert {path: path.stat().st_mtime_ns for path in session.cache.folder.rglob("*.safetensors")} == files
    lines, _ = read_lines(again.run.progress)
    assert [line["cached"] for line in lines if "cached" in line] == [{"made": 0, "kept": 6}, {"made": 0, "kept": 7}]
    spoilt = next(path for path in files if "text" not in str(path))
    spoilt.write_bytes(b"half")
    run.work(open_run(new_run()), "latents")
    assert spoilt.stat().st_size > 1000, "what is damaged is made again"


def test_latents_can_be_had_as_npz_by_scenario(new_run: NewRun, open_run: Opened) -> None:
    made = new_run()
    run.work(open_run(made), "latents", npz=True)
    paths = sorted((made.folder / "latents").glob("*/*.npz"))
    assert {path.parent.name for path in paths} == {"descent", "search"} and len(paths) == 6
    with np.load(paths[0]) as found:
        assert found["data"].shape == (16, 3, 6, 8) and int(found["width"]) == 64 and bool(found["normalized"])
        assert str(found["scenario"]) == "descent" and str(found["data_format"]) == "latents"


def test_a_stopped_run_goes_on_to_the_same_weights(new_run: NewRun, open_run: Opened, workspace: Workspace) -> None:
    recipe = small(steps=6, validate_every=6, save_every=2, lora_dropout=0.1, keep_top_k=0)
    unbroken = run.work(open_run(new_run(recipe)))[0]
    made = new_run(recipe)
    session = open_run(made)
    from training.video.objective import Maths

    passes = {"count": 0}
    real = Maths.loss

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        passes["count"] += 1
        session.stop.asked = passes["count"] >= 12
        return real(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Maths, "loss", counting)
        with pytest.raises(CancelledError):
            run.work(session)
    left = checkpoints(made.part())[-1][0]
    assert 0 < left < 6, "it left in the middle of a window, with the last whole step"
    resumed = run.work(open_run(made))[0]
    ours, theirs = weights_of(workspace, unbroken), weights_of(workspace, resumed)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert unbroken["metrics"] == resumed["metrics"]


@pytest.mark.slow
def test_compiled_blocks_learn_the_same(
    new_run: NewRun, open_run: Opened, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through training, checks with the adapter and without, and samples: what is compiled must not forget which is which."""
    from torch._dynamo.utils import counters
    from torch._inductor import config

    from t2v_studio.engines.diffusion.compile import why_not

    monkeypatch.setattr(config, "compile_threads", 1)  # no pool of processes that outlives the test
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(workspace.cache / "inductor"))
    if lacking := why_not("cpu", workspace.cache / "inductor"):
        pytest.skip(f"nothing can be compiled here: {lacking}")
    found, before = [], counters["stats"]["unique_graphs"]
    for compiled in (False, True):
        recipe = small(steps=4, validate_every=2, save_every=2, learning_rate=0.02, compile_blocks=compiled)
        session = open_run(new_run(recipe))
        result = run.work(session)[0]
        rows, _ = read_lines(session.run.part().log)
        found.append((result, [row["loss"] for row in rows], weights_of(workspace, result)))
        graphs = counters["stats"]["unique_graphs"]
        assert graphs > before if compiled else graphs == before
    (plain, losses, weights), (quick, quick_losses, quick_weights) = found
    assert quick_losses == pytest.approx(losses, rel=1e-3)
    assert quick["base"]["val_loss"] == pytest.approx(plain["base"]["val_loss"], rel=1e-4)
    assert quick["metrics"]["val_loss"] == pytest.approx(plain["metrics"]["val_loss"], rel=1e-4)
    assert quick["metrics"]["val_loss"] != quick["base"]["val_loss"]
    assert all(torch.allclose(weights[name], quick_weights[name], atol=1e-3) for name in weights)


def test_without_a_compiler_the_training_goes_on(
    new_run: NewRun, open_run: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t2v_studio.engines.diffusion import compile

    monkeypatch.setattr(compile, "why_not", lambda device, cache: "there is no g++")
    session = open_run(new_run(small(steps=1, compile_blocks=True)))
    assert run.work(session)[0]["adapter"]
    lines, _ = read_lines(session.run.progress)
    assert any("not compiled here: there is no g++" in str(line.get("message")) for line in lines)


def test_signals_save_sample_and_stop(new_run: NewRun, open_run: Opened) -> None:
    made = new_run(small(steps=50, save_every=40, validate_every=40))
    for name in ("save_now", "sample_now", "stop"):
        made.signal(name)
    with pytest.raises(CancelledError):
        run.work(open_run(made))
    assert [step for step, _ in checkpoints(made.part())] == [1]
    rows, _ = read_lines(made.part().metrics)
    assert [row["step"] for row in rows] == [1] and (made.part().adapters / step_name(1) / WEIGHTS).is_file()
    assert not any((made.folder / name).exists() for name in ("save_now", "sample_now", "stop"))


def test_a_changed_recipe_does_not_go_on(new_run: NewRun, open_run: Opened) -> None:
    made = new_run(small(steps=50))
    made.signal("stop")
    with pytest.raises(CancelledError):
        run.work(open_run(made))
    from t2v_studio.adapters.recipe import write_recipe

    write_recipe(small(steps=50, rank=8), made.folder / "recipe.yaml")
    with pytest.raises(ConflictError, match="rank"):
        run.work(open_run(made))


def test_a_disk_that_is_full_of_other_things_is_no_defect() -> None:
    error = run._unexpected(OSError(errno.ENOSPC, "No space left on device"))
    assert error.code == "disk_full" and "resume the run" in error.hint
    assert run._unexpected(OSError(errno.EIO, "Input/output error")).code == "internal"


def test_a_loss_that_is_no_number_stops_with_a_word(new_run: NewRun, open_run: Opened) -> None:
    from training.video.objective import Maths

    with pytest.MonkeyPatch.context() as patch:
        real = Maths.loss
        patch.setattr(Maths, "loss", lambda self, *args, **kwargs: real(self, *args, **kwargs) * float("nan"))
        with pytest.raises(StudioError) as caught:
            run.work(open_run(new_run(small(validation_clips=0))))
    assert caught.value.code == "not_finite" and "learning_rate" in caught.value.hint


def prompts_file(folder: Path) -> str:
    path = folder / "prompts.yaml"
    path.write_text("prompts:\n- {name: one, seed: 3, prompt: a ball}\n- {name: two, seed: 4, prompt: a box}\n")
    return str(path)


def checked(tmp_path: Path, **changes: Any) -> Recipe:
    return small(steps=6, validate_every=2, keep_top_k=1, validation_prompts=prompts_file(tmp_path), **changes)


def test_a_check_measures_base_beside_adapter_and_keeps_the_best(
    new_run: NewRun, open_run: Opened, workspace: Workspace, tmp_path: Path
) -> None:
    from t2v_studio.video.decode import probe

    made = new_run(checked(tmp_path))
    result = run.work(open_run(made))[0]
    part = made.part()
    rows, _ = read_lines(part.metrics)
    assert [row["step"] for row in rows] == [2, 4, 6]
    base = read_json(part.folder / "base.json")
    for row in rows:
        assert len(row["by_quantile"]) == 3 and row["val_loss"] == pytest.approx(np.mean(row["by_quantile"]), abs=1e-5)
        assert row["base"]["val_loss"] == base["val_loss"] and row["clip_text"] is None
        assert row["clip_note"].startswith("unavailable"), "no CLIP weights: not 0"
        assert row["config_changes"]["model"] == "tiny-wan" and "name" not in row["config_changes"]
        assert [sample["seed"] for sample in row["samples"]] == [3, 4]
    shown = probe(part.folder / rows[0]["samples"][0]["video"])
    assert (shown.frames, shown.width, shown.height) == (5, 64, 48)
    assert (part.folder / base["samples"][0]["video"]).is_file()
    kept, moved = ([path.name for path in sorted(folder.glob("step_*"))] for folder in (part.adapters, part.pruned))
    assert len(kept) == 1 and len(moved) == 2 and kept == [step_name(result["step"])]
    for name in moved:
        assert (part.pruned / name / WEIGHTS).is_file() and read_json(part.pruned / name / "reason.json")["reason"]
    card = read_json(workspace.adapter(result["adapter"]) / "card.json")
    assert card["rank"] == 4 and card["alpha"] == 8 and card["made_from"] == f"{made.id}/unified"
    assert card["base_model"] == "tiny-wan" and card["trigger"] == "acad_course_v1" and len(card["data_hash"]) == 64


def test_the_base_is_sampled_once_and_again_only_for_other_settings(
    new_run: NewRun, open_run: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    real = sampling.Sampler.draw
    monkeypatch.setattr(sampling.Sampler, "draw", lambda self, prompt: drawn.append(prompt.name) or real(self, prompt))
    run.work(open_run(new_run(checked(tmp_path))))
    assert len(drawn) == 2 * (1 + 3)


def test_a_frozen_clip_never_wins(
    new_run: NewRun, open_run: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter with the lowest loss makes clips that stand still: it is moved aside."""
    real = sampling.Sampler.draw
    session_of: dict[str, int] = {"drawn": 0}

    def draw(self: Any, prompt: Any) -> Any:
        session_of["drawn"] += 1
        frames = real(self, prompt)
        return np.repeat(frames[:1], len(frames), axis=0) if session_of["drawn"] > 6 else frames

    monkeypatch.setattr(sampling.Sampler, "draw", draw)
    made = new_run(checked(tmp_path, learning_rate=0.01))
    result = run.work(open_run(made))[0]
    assert result["step"] == 4, "step 6 is the newest, and frozen"
    reason = read_json(made.part().pruned / step_name(6) / "reason.json")["reason"]
    assert "stand still" in reason


def test_measures_of_a_still_clip_and_of_one_that_moves() -> None:
    draws = np.random.default_rng(0)
    texture = (draws.random((64, 200, 3)) * 255).astype(np.uint8)
    import cv2

    texture = cv2.GaussianBlur(texture, (0, 0), 2)
    moving = np.stack([texture[:, 4 * index : 4 * index + 96] for index in range(9)])
    still = np.repeat(moving[:1], 9, axis=0)
    found = [measures.sample_measures(frames, 16, "", None) for frames in (moving, still)]
    assert not found[0]["frozen"] and found[0]["motion"] > 0.03
    assert found[1]["frozen"] and found[1]["warp_error"] == 0, "a perfect warp error, and worth nothing"


def test_an_adapter_for_each_scenario_starts_from_the_unified_one(
    new_run: NewRun, open_run: Opened, workspace: Workspace
) -> None:
    made = new_run(small(steps=2, save_every=2, validate_every=2, learning_rate=0.01), scenarios=True)
    results = run.work(open_run(made))
    assert [one["part"] for one in results] == ["unified", "descent", "search"]
    assert len({one["adapter"] for one in results}) == 3
    assert results[1]["clips"] + results[2]["clips"] == results[0]["clips"]
    with (made.folder / "scenario_summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scenario"] for row in rows] == ["unified", "descent", "search"] and rows[1]["adapter"] == results[1][
        "adapter"
    ]
    assert len(list(open_run(made).cache.folder.rglob("*.safetensors"))) == 6 + 7, "one cache for all"
    unified, descent = (weights_of(workspace, one) for one in results[:2])
    near = [torch.nn.functional.cosine_similarity(unified[n].flatten(), descent[n].flatten(), dim=0) for n in unified]
    assert min(float(one) for one in near if one == one) > 0.8, "warm-started, not begun anew"


def test_a_check_of_a_finished_adapter_finds_what_became_worse() -> None:
    from training.video.validate import regressions

    base = {"val_loss": 1.0, "warp_score": 0.1, "clip_text": 25.0, "frozen": 0, "bad": 0}
    assert regressions(base, base, 0.05) == []
    assert regressions({**base, "val_loss": 0.9, "warp_score": None}, base, 0.05) == []
    worse = {"val_loss": 1.2, "warp_score": 0.2, "clip_text": 20.0, "frozen": 2, "bad": 0}
    assert len(regressions(worse, base, 0.05)) == 4


def test_a_finished_adapter_is_compared_with_its_base(
    new_run: NewRun, open_run: Opened, workspace: Workspace, clips: Path
) -> None:
    from t2v_studio.adapters.runs import create_run

    result = run.work(open_run(new_run(small(steps=4, learning_rate=0.02, validate_every=4))))[0]
    for scale, ok in ((1.0, True), (1.5, True)):
        made = create_run(workspace, small(), clips, adapter=result["adapter"], scale=scale, kind="check")
        found = run.work(open_run(made), "check")[0]
        assert found["ok"] is ok and found["held_out"] == 1 and found["base"]["val_loss"] == result["base"]["val_loss"]
        if scale == 1.0:
            assert found["measured"]["val_loss"] == pytest.approx(result["metrics"]["val_loss"], rel=1e-5)
    strict = create_run(workspace, small(max_regression=0), clips, adapter=result["adapter"], scale=0.0, kind="check")
    assert run.work(open_run(strict), "check")[0]["ok"], "at scale 0 it is the base itself"
