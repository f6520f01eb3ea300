"""Families by name."""

from __future__ import annotations

from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.engines.diffusion.families.cogvideox import COGVIDEOX, COGVIDEOX_5B
from t2v_studio.engines.diffusion.families.ltx import LTX
from t2v_studio.engines.diffusion.families.wan import WAN
from t2v_studio.engines.diffusion.families.wan22 import WAN22, WAN22_5B
from t2v_studio.errors import unknown_name

FAMILIES: dict[str, Family] = {one.name: one for one in (WAN, WAN22, WAN22_5B, COGVIDEOX, COGVIDEOX_5B, LTX)}


def family(name: str) -> Family:
    """The family of a name. Raises InputError for an unknown one."""
    if name not in FAMILIES:
        raise unknown_name("family", name, list(FAMILIES))
    return FAMILIES[name]
