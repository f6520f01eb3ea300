"""What a result says of the tries that came before a scene."""

from __future__ import annotations

from t2v_studio.production.record import SceneRecord
from t2v_studio.ui.components.result_view import _tries


def test_a_try_says_its_cause_and_what_was_done():
    rows = [
        {"cause": "black", "verdict": "black", "settings": {}, "next": "decode again in float32, untiled", "measures": {}},
        {"cause": "not_finite", "verdict": "", "settings": {}, "next": "another seed", "measures": {}},
    ]  # fmt: skip
    scene = SceneRecord(id="a", engine="diffusion", seed=1, frames=5, start_s=0.0, duration_s=1.0, retries=rows)
    assert _tries(scene) == "black: decode again in float32, untiled; not finite: another seed"
