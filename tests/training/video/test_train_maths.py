"""The formulas of a step, held to independent ones."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from t2v_studio.adapters.recipe import parse_recipe
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.engines.diffusion.families.registry import family
from training.video.data import Batch
from training.video.objective import Maths, fixed_quantiles, noise_like, prompts_for, window_quantiles

WAN_CONFIG = {"_class_name": "UniPCMultistepScheduler", "num_train_timesteps": 1000}
COG_CONFIG = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "snr_shift_scale": 3.0,
}  # fmt: skip


def batch_of(latents: torch.Tensor, height: int = 480) -> Batch:
    clip = SimpleNamespace(bucket=(17, 832, height), fps=16.0)
    return Batch([clip] * len(latents), latents, {})


def test_levels_are_a_shifted_logit_normal(wan: Family) -> None:
    """sigma' = k s / (1 + (k - 1) s) of a logit-normal s, drawn here by scipy."""
    u = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    normal = stats.norm.ppf(u.numpy())
    for k, spread in ((3.0, 1.0), (5.0, 0.7)):
        maths = Maths(parse_recipe({"flow_shift": k, "sigma_spread": spread}), wan, WAN_CONFIG)
        s = 1 / (1 + np.exp(-spread * normal))
        assert np.allclose(maths.levels(u, 480).numpy(), k * s / (1 + (k - 1) * s), atol=1e-6)


def test_the_shift_grows_with_the_picture(wan: Family) -> None:
    maths = Maths(parse_recipe({}), wan, WAN_CONFIG)
    assert (maths.shift(480), maths.shift(720)) == (3.0, 5.0)


def test_the_loss_is_that_of_rectified_flow(wan: Family) -> None:
    """A network that answers with a known tensor: the loss is its distance to eps - z, its input is on the line."""
    z, eps = torch.randn(2, 16, 5, 6, 8), torch.randn(2, 16, 5, 6, 8)
    answer = torch.randn(2, 16, 5, 6, 8)
    seen: dict[str, torch.Tensor] = {}

    def network(hidden_states: torch.Tensor, timestep: torch.Tensor, **_: object) -> tuple[torch.Tensor]:
        seen.update(x=hidden_states, t=timestep)
        return (answer,)

    maths = Maths(parse_recipe({"flow_shift": 3.0}), wan, WAN_CONFIG)
    u = torch.tensor([0.2, 0.9], dtype=torch.float64)
    batch = batch_of(z)
    batch.text["embeds"] = torch.zeros(2, 4, 8)
    loss = maths.loss(network, batch, u, eps, each=True)
    sigma = torch.tensor([1 / (1 + math.exp(-(stats.norm.ppf(p) + math.log(3)))) for p in (0.2, 0.9)])
    mixed = torch.stack([(1 - s) * z[i] + s * eps[i] for i, s in enumerate(sigma.tolist())])
    assert torch.allclose(seen["x"], mixed, atol=1e-5) and torch.allclose(seen["t"], 1000 * sigma.float(), atol=1e-2)
    assert seen["t"].dtype == torch.float32, "bf16 would be off by up to two"
    wanted = ((answer - (eps - z)) ** 2).flatten(1).mean(1)
    assert torch.allclose(loss, wanted, atol=1e-6)


def test_cogvideox_learns_the_velocity_of_its_schedule() -> None:
    cog = family("cogvideox")
    maths = Maths(parse_recipe({}), cog, COG_CONFIG)
    u = torch.tensor([0.0004, 0.5, 0.99999], dtype=torch.float64)
    assert maths.levels(u, 480).tolist() == [0, 500, 999] and maths.shift(480) is None
    objective = maths.objective(480)
    alphas = objective.scheduler.alphas_cumprod[[0, 500, 999]].float().reshape(3, 1, 1, 1, 1)
    z, eps = torch.randn(3, 5, 16, 4, 4), torch.randn(3, 5, 16, 4, 4)
    level = torch.tensor([0, 500, 999])
    assert torch.allclose(objective.noise(z, eps, level), alphas.sqrt() * z + (1 - alphas).sqrt() * eps, atol=1e-5)
    assert torch.allclose(objective.target(z, eps, level), alphas.sqrt() * eps - (1 - alphas).sqrt() * z, atol=1e-5)


def test_a_window_has_one_level_in_each_bin_and_repeats_itself() -> None:
    recipe = parse_recipe({"accumulation": 8})
    u = window_quantiles(recipe, 5, world=2)
    assert u.shape == (8, 2, 1)
    assert sorted((u.ravel() * 16).astype(int)) == list(range(16))
    assert np.array_equal(u, window_quantiles(recipe, 5, world=2))
    assert not np.array_equal(u, window_quantiles(recipe, 6, world=2))
    spread = np.concatenate([window_quantiles(recipe, step, 1).ravel() for step in range(400)])
    assert stats.kstest(spread, "uniform").pvalue > 0.01, "over many windows the levels are uniform"
    plain = [window_quantiles(parse_recipe({"accumulation": 8, "stratified": False}), s, 1).mean() for s in range(300)]
    calm = [window_quantiles(recipe, s, 1).mean() for s in range(300)]
    assert np.std(calm) < np.std(plain) / 3


def test_prompts_are_dropped_at_the_rate_that_is_asked_for() -> None:
    recipe = parse_recipe({"prompt_dropout": 0.1})
    row = SimpleNamespace(caption="a square", variants=["a box", "a tile"])
    clips = [SimpleNamespace(source=SimpleNamespace(row=row))] * 4
    said = [word for step in range(1000) for word in prompts_for(recipe, clips, step, 0, 0)]
    assert 0.08 < said.count("") / 4000 < 0.12
    assert prompts_for(recipe, clips, 3, 0, 0) == said[12:16], "the same place, the same words"
    for caption in ("a square", "a box", "a tile"):
        assert 0.25 < said.count(caption) / 4000 < 0.35, "each caption of a clip gets its turn"
    assert "" not in prompts_for(parse_recipe({"prompt_dropout": 0}), clips * 25, 0, 0, 0)


def test_noise_belongs_to_its_place() -> None:
    like = torch.zeros(1, 16, 5, 6, 8, dtype=torch.bfloat16)
    first = noise_like(like, 42, 3, 1, 0, 0)
    assert torch.equal(first, noise_like(like, 42, 3, 1, 0, 0)) and first.dtype == torch.float32
    assert not torch.equal(first, noise_like(like, 42, 3, 1, 1, 0)), "another pass, another noise"
    assert abs(float(first.mean())) < 0.1 and abs(float(first.std()) - 1) < 0.1
    assert fixed_quantiles(3) == pytest.approx([1 / 6, 0.5, 5 / 6])


def test_latents_are_normalised_by_the_vaes_own_figures(tiny_wan: Path, wan: Family) -> None:
    """z = (mu - mean) / std a channel, from the posterior's mode."""
    vae = wan.load_part("vae", tiny_wan)
    video = torch.rand(1, 3, 5, 32, 48) * 2 - 1
    with torch.no_grad():
        mode = vae.encode(video).latent_dist.mode()
    mean, std = (torch.tensor(one).view(1, -1, 1, 1, 1) for one in (vae.config.latents_mean, vae.config.latents_std))
    assert torch.allclose(wan.pixels_to_latents(vae, video), (mode - mean) / std, atol=1e-5)
