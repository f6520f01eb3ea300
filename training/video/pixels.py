"""The frames of a clip as the VAE takes them: scaled to cover the bucket, cropped in the middle, -1 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import InputError
from t2v_studio.video import decode
from training.video.buckets import Clip

if TYPE_CHECKING:
    import torch


def read_frames(clip: Clip) -> NDArray[np.uint8]:
    """The picked frames, uint8 (frames, height, width, 3). Raises InputError where the file holds fewer."""
    _, width, height = clip.bucket
    wanted = set(clip.picks)
    kept: dict[int, NDArray[np.uint8]] = {}
    for index, frame in enumerate(decode.frames(clip.source.file, limit=max(wanted) + 1)):
        if index in wanted:
            kept[index] = covered(frame, width, height)
    if len(kept) < len(wanted):
        raise InputError(
            "clip_too_short",
            f"{clip.source.file.name} holds fewer frames than its row says ({max(wanted) + 1}).",
            "Build the manifest again.",
        )
    return np.stack([kept[index] for index in clip.picks])


def covered(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The frame scaled so that it covers width x height, cropped in the middle; never stretched."""
    import cv2

    tall, wide = frame.shape[:2]
    scale = max(width / wide, height / tall)
    size = (max(width, round(wide * scale)), max(height, round(tall * scale)))
    if size != (wide, tall):
        how: Any = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        frame = np.asarray(cv2.resize(frame, size, interpolation=how), np.uint8)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(frame[top : top + height, left : left + width])


def as_video(frames: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (F, H, W, 3) as float32 (1, 3, F, H, W) in [-1, 1], what every VAE here was trained on."""
    import torch

    video = torch.from_numpy(frames).permute(3, 0, 1, 2).unsqueeze(0)
    return video.to(torch.float32).div_(127.5).sub_(1.0)
