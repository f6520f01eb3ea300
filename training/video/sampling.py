"""Sample clips at a check: fixed prompts, fixed seeds, the base beside the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t2v_studio.adapters.recipe import FOLDER, Recipe, read_size
from t2v_studio.datasets.rows import slug
from t2v_studio.errors import InputError
from t2v_studio.video import ffmpeg
from t2v_studio.video.encode import Encoder
from training.video.cache import read_text
from training.video.cache_text import EMPTY
from training.video.session import Session


@dataclass(frozen=True)
class Prompt:
    """A validation prompt. name: unique, part of file names."""

    name: str
    text: str
    seed: int
    negative: str = ""


def read_prompts(recipe: Recipe) -> list[Prompt]:
    """The recipe's validation prompts, with its trigger before each. Raises InputError that names what is wrong."""
    if not recipe.validation_prompts:
        return []
    import yaml

    path = FOLDER / recipe.validation_prompts
    path = path if path.is_file() else Path(recipe.validation_prompts).expanduser()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = data["prompts"]
        found = [
            Prompt(
                slug(str(row["name"])),
                str(row["prompt"]).strip(),
                int(row.get("seed", 42)),
                str(row.get("negative", "")),
            )
            for row in rows
        ]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            "bad_prompts",
            f"validation_prompts: {recipe.validation_prompts} cannot be used ({type(error).__name__}: {error}).",
            "It is YAML with prompts: a list of name, prompt and seed.",
        ) from error
    if len({one.name for one in found}) < len(found):
        raise InputError("bad_prompts", f"validation_prompts: {path.name} has a name twice.", "Names are unique.")
    return found


def asked(prompt: Prompt, trigger: str) -> str:
    """The prompt as the adapter is asked; the base is asked with the same words."""
    return f"{trigger}, {prompt.text}" if trigger else prompt.text


def texts(prompts: list[Prompt], trigger: str) -> list[str]:
    """All that must be encoded for the samples."""
    return [text for prompt in prompts for text in (asked(prompt, trigger), prompt.negative or EMPTY)]


class Sampler:
    """Draws clips with the transformer as it stands. The VAE comes to the device for the samples and leaves again."""

    def __init__(self, session: Session, transformer: Any, trigger: str) -> None:
        self._session, self._transformer, self._trigger = session, transformer, trigger
        family = session.family
        self._scheduler_config = family.load_part("scheduler_config", session.base.source)
        recipe = session.recipe
        width, height = read_size(recipe.sample_size)
        self.size = family.size(width, height)
        self.frames = family.frames(recipe.sample_frames)
        self.fps = recipe.fps or family.trained_fps
        self._vae: Any = None

    @contextmanager
    def open(self) -> Iterator[None]:
        family, session = self._session.family, self._session
        self._vae = family.load_part("vae", session.base.source, device=str(session.device))
        try:
            yield
        finally:
            self._vae = None
            from training.video.cache_latents import release

            release()

    def draw(self, prompt: Prompt) -> NDArray[np.uint8]:
        """One clip, uint8 (frames, height, width, 3). Raises CancelledError between steps."""
        import torch

        session, family, recipe = self._session, self._session.family, self._session.recipe
        width, height = self.size
        pipe = family.pipeline_from(
            {
                "transformer": self._transformer,
                "vae": self._vae,
                "scheduler": family.scheduler(
                    self._scheduler_config, flow_shift=recipe.flow_shift, height=height, width=width
                ),
            }
        )

        def look(pipe: Any, index: int, time: Any, kept: dict[str, Any]) -> dict[str, Any]:
            session.check_stopped()
            return kept

        guided = recipe.sample_guidance > 1
        cond = self._encoded(asked(prompt, self._trigger))
        uncond = self._encoded(prompt.negative or EMPTY) if guided else None
        latents = pipe(
            **family.call_embeds(cond, uncond),
            **family.call_kwargs(
                frames=self.frames,
                width=width,
                height=height,
                steps=recipe.sample_steps,
                guidance=recipe.sample_guidance,
                fps=self.fps,
            ),
            generator=torch.Generator().manual_seed(prompt.seed),
            output_type="latent",
            callback_on_step_end=look,
        ).frames
        # Autocast is for the transformer: the decoder keeps its own dtype.
        with torch.autocast(session.device.type, enabled=False):
            pixels = family.latents_to_pixels(
                self._vae,
                latents,
                frames=self.frames,
                width=width,
                height=height,
                generator=family.decode_generator(prompt.seed, latents),
            )
        return np.asarray((pixels.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())

    def _encoded(self, text: str) -> dict[str, Any]:
        session = self._session
        stored = read_text(session.cache.text_file(text))
        return {
            name: one.to(session.device, session.dtype if one.is_floating_point() else None)
            for name, one in stored.items()
        }


def write_clip(path: Path, frames: NDArray[np.uint8], fps: float, content: ffmpeg.Content = "footage") -> Path:
    """The frames as an MP4 (or a GIF where no encoder can be had); the path that was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder = Encoder(path, width=frames.shape[2], height=frames.shape[1], fps=fps, content=content)
    with encoder:
        for frame in frames:
            encoder.write(frame)
    return encoder.path
