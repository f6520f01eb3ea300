"""The adapter: fp32 on a frozen base, the same gradient with checkpoints, optimiser states that survive, files that carry alpha."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from small_clips import small

from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.runs import COMFYUI, Part
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.errors import ConflictError, InputError, LimitError, StudioError
from training.video import checkpoints, export, lora
from training.video.parts import warm_state


def transformer_of(folder: Path, wan: Family, dtype: str = "float32") -> Any:
    return wan.load_part("transformer", folder, dtype=dtype)


def predict(transformer: Any, seed: int = 1) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    noisy = torch.randn(1, 16, 3, 6, 8, generator=draws)
    text = torch.randn(1, 12, transformer.config.text_dim, generator=draws)
    return transformer(
        hidden_states=noisy, timestep=torch.tensor([300.0]), encoder_hidden_states=text, return_dict=False
    )[0]


def shaken(transformer: Any) -> None:
    """Weights that a training might have left: B is not 0 any more."""
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))


def test_a_fresh_adapter_changes_nothing_and_is_fp32_on_a_bf16_base(tiny_wan: Path, wan: Family) -> None:
    transformer = transformer_of(tiny_wan, wan, "bfloat16")
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        before = predict(transformer)
        parameters = lora.add_adapter(transformer, small(dtype="bf16"), wan)
        assert torch.equal(before, predict(transformer))
    assert {one.dtype for one in parameters} == {torch.float32}
    frozen = Counter(one.dtype for one in transformer.parameters() if not one.requires_grad)
    assert frozen[torch.bfloat16] > 0 and frozen[torch.float32] > 0, "time embedder, norms and tables stay in fp32"
    assert len(parameters) == 2 * 8 * len(transformer.blocks), "q, k, v and out of both attentions"


def test_the_seed_decides_the_first_weights(tiny_wan: Path, wan: Family) -> None:
    states = []
    for seed in (1, 1, 2):
        transformer = transformer_of(tiny_wan, wan)
        lora.add_adapter(transformer, small(seed=seed), wan)
        states.append(lora.adapter_state(transformer))
    name = next(name for name in states[0] if "lora_A" in name)
    assert torch.equal(states[0][name], states[1][name]) and not torch.equal(states[0][name], states[2][name])


def test_a_target_that_names_no_layer_is_refused(tiny_wan: Path, wan: Family) -> None:
    with pytest.raises(InputError) as caught:
        lora.add_adapter(transformer_of(tiny_wan, wan), small(targets=["to_q", "to_x"]), wan)
    assert "to_x" in caught.value.message and "to_q" in caught.value.hint


def test_modules_that_stay_in_fp32_run_outside_of_autocast(tiny_wan: Path, wan: Family) -> None:
    transformer = transformer_of(tiny_wan, wan, "bfloat16")
    found = lora.keep_float32(transformer, wan.keep_fp32)
    assert any("time_embedder" in name for name in found)
    seen: list[torch.dtype] = []
    embedder = transformer.condition_embedder.time_embedder
    embedder.linear_1.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        predict(transformer)
    assert seen == [torch.float32]


@pytest.mark.parametrize("every", [1, 2])
def test_checkpointed_blocks_give_the_same_gradient(tiny_wan: Path, wan: Family, every: int) -> None:
    gradients = []
    for checkpointing in (0, every):
        transformer = transformer_of(tiny_wan, wan).train()
        parameters = lora.add_adapter(transformer, small(), wan)
        shaken(transformer)
        count = lora.checkpoint_blocks(transformer, checkpointing)
        assert count == (len(range(0, len(transformer.blocks), checkpointing)) if checkpointing else 0)
        predict(transformer).square().mean().backward()
        gradients.append([one.grad for one in parameters])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_checkpoints_keep_the_draws_of_dropout(tiny_wan: Path, wan: Family) -> None:
    gradients = []
    for checkpointing in (0, 1):
        transformer = transformer_of(tiny_wan, wan).train()
        parameters = lora.add_adapter(transformer, small(lora_dropout=0.3), wan)
        shaken(transformer)
        lora.checkpoint_blocks(transformer, checkpointing)
        torch.manual_seed(5)
        predict(transformer).square().mean().backward()
        gradients.append([one.grad for one in parameters])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("optimiser", ["adamw", "adamw8bit"])
def test_an_optimiser_goes_on_from_a_checkpoint_bit_for_bit(
    tiny_wan: Path, wan: Family, tmp_path: Path, optimiser: str
) -> None:
    from diffusers.optimization import get_scheduler

    # A rank at which bitsandbytes quantises its state: it leaves small tensors in 32 bits.
    recipe = small(optimiser=optimiser, rank=192 if optimiser == "adamw8bit" else 4, schedule="cosine")
    part = Part(tmp_path / "unified")

    def fresh() -> tuple[Any, Any, Any]:
        transformer = transformer_of(tiny_wan, wan)
        made = lora.optimiser_for(lora.add_adapter(transformer, recipe, wan), recipe)
        return transformer, made, get_scheduler("cosine", made, num_warmup_steps=2, num_training_steps=9)

    def step(parts: tuple[Any, Any, Any], number: int) -> None:
        transformer, made, schedule = parts
        predict(transformer, number).square().mean().backward()
        made.step()
        schedule.step()
        made.zero_grad()

    unbroken = fresh()
    for number in range(4):
        step(unbroken, number)
        if number == 1:
            checkpoints.save(part, *unbroken, {"step": 2}, recipe)
    resumed = fresh()
    counters = checkpoints.load(checkpoints.checkpoints(part)[-1][1], *resumed, recipe)
    assert counters == {"step": 2}
    for number in (2, 3):
        step(resumed, number)
    ours, theirs = (lora.adapter_state(one[0]) for one in (unbroken, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert unbroken[2].get_last_lr() == resumed[2].get_last_lr()


def test_a_checkpoint_is_there_whole_or_not_at_all(
    tiny_wan: Path, wan: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.optimization import get_scheduler

    transformer, recipe, part = transformer_of(tiny_wan, wan), small(), Part(tmp_path / "unified")
    made = lora.optimiser_for(lora.add_adapter(transformer, recipe, wan), recipe)
    schedule = get_scheduler("constant", made)
    for number in (1, 2, 3):
        checkpoints.save(part, transformer, made, schedule, {"step": number}, recipe)
    monkeypatch.setattr(checkpoints, "sync", lambda path: (_ for _ in ()).throw(OSError("the power is gone")))
    with pytest.raises(OSError):
        checkpoints.save(part, transformer, made, schedule, {"step": 4}, recipe)
    assert [step for step, _ in checkpoints.checkpoints(part)] == [1, 2, 3]
    checkpoints.keep_newest(part, 2)
    assert sorted(path.name for path in part.checkpoints.iterdir()) == ["step_00000002", "step_00000003"]


def test_a_full_disk_costs_neither_a_checkpoint_nor_an_adapter(
    tiny_wan: Path, wan: Family, tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    from diffusers.optimization import get_scheduler

    transformer, recipe, part = transformer_of(tiny_wan, wan), small(), Part(tmp_path / "unified")
    made = lora.optimiser_for(lora.add_adapter(transformer, recipe, wan), recipe)
    schedule = get_scheduler("constant", made)
    predict(transformer).square().mean().backward()
    made.step()
    checkpoints.save(part, transformer, made, schedule, {"step": 1}, recipe)
    adapter = part.checkpoints / "step_00000001" / "adapter.safetensors"
    kept = export.export(transformer, wan, part.adapters / "step_00000001", recipe)
    # Room for none of the files, and for the first of them alone.
    for room in (4096, adapter.stat().st_size):
        with pytest.raises(LimitError) as caught, full_disk(room):
            checkpoints.save(part, transformer, made, schedule, {"step": 2}, recipe)
        assert caught.value.message == "The disk is full: the checkpoint of step 2 could not be written."
        assert (caught.value.code, "last checkpoint" in caught.value.hint) == ("disk_full", True)
    for room in (4096, (kept / WEIGHTS).stat().st_size):
        with pytest.raises(LimitError, match="could not be written") as caught, full_disk(room):
            export.export(transformer, wan, part.adapters / "step_00000002", recipe)
        assert (caught.value.code, "last checkpoint" in caught.value.hint) == ("disk_full", True)
    for folder in (part.checkpoints, part.adapters):
        assert [path.name for path in folder.iterdir()] == ["step_00000001"]
    counters = checkpoints.load(part.checkpoints / "step_00000001", transformer, made, schedule, recipe)
    assert counters == {"step": 1}


def test_going_on_with_another_recipe_is_refused_by_field(tmp_path: Path) -> None:
    before = small().model_dump(mode="json")
    checkpoints.check_recipe(before, small(steps=99, save_every=7))
    with pytest.raises(ConflictError, match="learning_rate, rank"):
        checkpoints.check_recipe(before, small(rank=8, learning_rate=1e-3))


def test_every_layout_is_read_back_to_the_same_bits_alpha_included(tiny_wan: Path, wan: Family, tmp_path: Path) -> None:
    transformer = transformer_of(tiny_wan, wan)
    lora.add_adapter(transformer, small(rank=4, alpha=10), wan)
    shaken(transformer)
    folder = export.export(transformer, wan, tmp_path / "adapter", small())
    assert sorted(path.name for path in folder.iterdir()) == [COMFYUI, WEIGHTS]
    with torch.no_grad():
        wanted = predict(transformer.eval())
        for name in (WEIGHTS, COMFYUI):
            fresh = transformer_of(tiny_wan, wan)
            wan.pipeline_from({"transformer": fresh}).load_lora_weights(str(folder), weight_name=name)
            assert torch.allclose(predict(fresh), wanted, atol=1e-6), (
                f"{name} loads in diffusers at the trained strength"
            )


def test_a_file_that_lost_its_alpha_is_caught(tiny_wan: Path, wan: Family, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    transformer = transformer_of(tiny_wan, wan)
    lora.add_adapter(transformer, small(rank=4, alpha=10), wan)
    shaken(transformer)
    folder = export.write_diffusers(transformer, wan, tmp_path / "adapter")
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(StudioError) as caught:
        export.check_round_trip(transformer, folder / WEIGHTS)
    assert caught.value.code == "export_differs"


def test_a_warm_start_keeps_the_strength_under_another_alpha(tiny_wan: Path, wan: Family, tmp_path: Path) -> None:
    first = transformer_of(tiny_wan, wan)
    lora.add_adapter(first, small(rank=4, alpha=8), wan)
    shaken(first)
    folder = export.write_diffusers(first, wan, tmp_path / "adapter")
    second = transformer_of(tiny_wan, wan)
    other = small(rank=4, alpha=4)
    lora.add_adapter(second, other, wan)
    lora.load_adapter_state(second, warm_state(folder / WEIGHTS, other))
    with torch.no_grad():
        assert torch.allclose(predict(first.eval()), predict(second.eval()), atol=1e-6)
    third = transformer_of(tiny_wan, wan)
    lora.add_adapter(third, small(rank=2), wan)
    with pytest.raises(InputError, match="another rank"):
        lora.load_adapter_state(third, warm_state(folder / WEIGHTS, small(rank=2)))


@pytest.mark.parametrize("how", ["int8", "nf4"])
def test_a_quantised_base_carries_a_trainable_adapter(tiny_wan: Path, wan: Family, how: str) -> None:
    pytest.importorskip("bitsandbytes")
    transformer = transformer_of(tiny_wan, wan)
    with torch.no_grad():
        before = predict(transformer)
    count = lora.quantise(transformer, how, "cpu")
    parameters = lora.add_adapter(transformer, small(), wan)
    assert count >= 8 * len(transformer.blocks) and {one.dtype for one in parameters} == {torch.float32}
    with torch.no_grad():
        after = predict(transformer)
    near = torch.nn.functional.cosine_similarity(before.flatten(), after.flatten(), dim=0)
    assert 0.9 < float(near) < 1, "near the exact base, and not it"
    predict(transformer).square().mean().backward()
    assert any(one.grad is not None and float(one.grad.abs().sum()) > 0 for one in parameters)


def test_a_push_goes_to_a_private_repository_or_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    calls: list[str] = []

    class Hub:
        private = True

        def create_repo(self, name: str, **how: Any) -> str:
            calls.append(f"create {name} private={how['private']}")
            return f"https://hub/{name}"

        def repo_info(self, name: str) -> Any:
            return type("Info", (), {"private": Hub.private})

        def upload_folder(self, **how: Any) -> None:
            calls.append(f"upload {how['repo_id']}")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    card = type("Card", (), {"name": "mine"})
    assert export.push(tmp_path, "me/mine", card) == "https://hub/me/mine"
    assert calls == ["create me/mine private=True", "upload me/mine"]
    Hub.private = False
    with pytest.raises(StudioError) as caught:
        export.push(tmp_path, "me/mine", card)
    assert caught.value.code == "repository_public" and calls.count("upload me/mine") == 1


def test_metadata_of_the_header_is_plain_json(tiny_wan: Path, wan: Family, tmp_path: Path) -> None:
    from safetensors import safe_open

    transformer = transformer_of(tiny_wan, wan)
    lora.add_adapter(transformer, small(rank=4, alpha=10), wan)
    folder = export.write_diffusers(transformer, wan, tmp_path / "adapter")
    with safe_open(folder / WEIGHTS, "pt") as file:
        packed = json.loads(file.metadata()["lora_adapter_metadata"])
    assert packed["transformer.lora_alpha"] == 10 and packed["transformer.r"] == 4
