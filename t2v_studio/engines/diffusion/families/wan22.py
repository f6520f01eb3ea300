"""Wan 2.2: A14B with two experts (high noise, low noise), and TI2V-5B with its own VAE (4x16x16).

Boundary, shifts, guidance and steps: Wan 2.2 configurations (wan_t2v_A14B, wan_ti2v_5B).
"""

from __future__ import annotations

from dataclasses import replace

from t2v_studio.engines.diffusion.families.base import Profile
from t2v_studio.engines.diffusion.families.wan import WAN

WAN22 = replace(
    WAN,
    name="wan22",
    label="Wan 2.2 A14B",
    boundary=0.875,
    shifts=(12.0, 12.0),
    defaults={
        "fast": Profile(frames=25, steps=24, guidance=4.0, fps=16, width=832, height=480),
        "balanced": Profile(frames=33, steps=30, guidance=4.0, fps=16, width=832, height=480),
        "high": Profile(frames=49, steps=40, guidance=4.0, fps=16, width=1280, height=720),
    },
)

WAN22_5B = replace(
    WAN,
    name="wan22-5b",
    label="Wan 2.2 TI2V-5B",
    size_multiple=32,
    vae_stride=(4, 16, 16),
    trained_frames=(33, 121),
    trained_fps=24,
    trained_sizes=((1280, 704),),
    denoise_bytes=170_000,
    decode_bytes=25_000,
    expand_timesteps=True,
    shifts=(5.0, 5.0),
    defaults={
        "fast": Profile(frames=25, steps=24, guidance=5.0, fps=24, width=1280, height=704),
        "balanced": Profile(frames=49, steps=30, guidance=5.0, fps=24, width=1280, height=704),
        "high": Profile(frames=121, steps=40, guidance=5.0, fps=24, width=1280, height=704),
    },
)
