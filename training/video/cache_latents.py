"""Stage 1: every clip through the VAE once, into the cache. A second run touches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.video import cache
from training.video.buckets import Clip
from training.video.pixels import as_video, read_frames
from training.video.session import Session


def cache_latents(session: Session, clips: Sequence[Clip]) -> dict[str, int]:
    """Encode what is missing, each process its share. Returns how many were made and how many were there.

    The posterior's mode, normalised by the VAE's own mean and deviation (notes 2.4): drawing samples, or
    feeding 0 to 1 instead of -1 to 1, are known to blur what is learned.
    """
    files = session.cache
    missing = [clip for clip in clips if not cache.is_right(files.clip_file(clip), files.clip_header(clip))]
    mine = session.share(missing)
    if mine:
        _encode(session, mine)
    session.accelerator.wait_for_everyone()
    return {"made": len(missing), "kept": len(clips) - len(missing)}


def _encode(session: Session, clips: Sequence[Clip]) -> None:
    import torch

    family = session.family
    vae = family.load_part("vae", session.base.source, device=str(session.device))
    kept = torch.bfloat16 if session.recipe.latents_dtype == "bf16" else torch.float32
    for number, clip in enumerate(clips):
        session.check_stopped()
        session.report("caching clips", number, len(clips), clip.source.row.id)
        path, header = session.cache.clip_file(clip), session.cache.clip_header(clip)
        latents = family.pixels_to_latents(vae, as_video(read_frames(clip)))
        cache.write(path, {"latents": latents.to(kept)}, header)
    session.report("caching clips", len(clips), len(clips))
    del vae
    release()


def release() -> None:
    """Give freed memory back to the card; without one there is nothing to give, and collecting takes its time."""
    import torch

    if torch.cuda.is_available():
        import gc

        gc.collect()
        torch.cuda.empty_cache()


def export_npz(session: Session, clips: Sequence[Clip]) -> list[str]:
    """The documents' layout: latents/<scenario>/<name>.npz with data, fps, width, height, normalized, scenario, data_format."""
    import numpy as np

    made = []
    for clip in clips:
        group, stem = clip.source.group or "clips", clip.source.row.sha256[:20]
        path = session.run.folder / "latents" / group / f"{stem}{f'-{clip.start}' if clip.start else ''}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        latents: Any = cache.read_latents(session.cache.clip_file(clip)).float().numpy()
        _, width, height = clip.bucket
        temporary = path.with_name(f".{path.name}.part")
        with temporary.open("wb") as file:
            np.savez(
                file,
                data=latents[0],
                fps=clip.fps,
                width=width,
                height=height,
                normalized=True,
                scenario=group,
                data_format="latents",
            )
        temporary.replace(path)
        made.append(str(path))
    return made
