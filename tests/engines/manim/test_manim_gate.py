"""The gate refuses with the line and the reason, and lets ordinary scenes pass."""

from __future__ import annotations

import pytest

from t2v_studio.engines.manim.gate import refusals

SCENE = """from manim import *
import numpy as np


class Demo(Scene):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def construct(self):
        axes = Axes(x_range=[-3, 3], y_range=[0, 9])
        graph = axes.plot(lambda x: np.square(x), color=BLUE)
        for number in range(3):
            self.play(Create(axes), Create(graph), run_time=0.5)
        picture = ImageMobject(np.uint8([[0, 100], [30, 200]]))
        self.add(picture, Text(f"{type(picture).__name__}: {1 + 1}"))
        while True:
            break
        self.wait(2)
"""
REFUSED = [
    ("import os", "os may not be imported"),
    ("from subprocess import run", "subprocess may not be imported"),
    ("import manim.utils.file_ops", "manim.utils.file_ops is not for scenes"),
    ("from manim.utils import file_ops", "manim.utils.file_ops is not for scenes"),
    ("from numpy import load", "load reads or writes files"),
    ("from . import secrets", "relative imports"),
    ("open('/etc/passwd')", "open is not for scenes"),
    ("x = getattr(object, 'a')", "getattr is not for scenes"),
    ("x = ().__class__.__bases__[0].__subclasses__()", "__subclasses__"),
    ("x = __builtins__", "__builtins__"),
    ("x = '{0.__class__.__init__.__globals__}'.format(1)", "a format string reaches into the inside"),
    ("x = np.load('a.npy')", "np.load reads or writes files"),
    ("config.media_dir = '/tmp'", "media_dir may not be set"),
    ("x = ImageMobject('a.png')", "ImageMobject reads a file"),
    ("x = SVGMobject(f'{1}.svg')", "SVGMobject reads a file"),
    ("self.add_sound('a.wav')", "add_sound reads a file"),
    ("self.embed()", "embed opens a prompt"),
    ("x = Code(code_file='a.py')", "code_file= names a file"),
    ("while True:\n    x = 1", "this loop never ends"),
    ("for i in range(10**9):\n    pass", "takes too long"),
    ("self.wait(1e6)", "it waits for more than"),
    ("async def f():\n    pass", "async is not for them"),
    ("x = (", "it does not parse"),
]


def test_an_ordinary_scene_passes() -> None:
    assert refusals(SCENE) == []


@pytest.mark.parametrize(("line", "reason"), REFUSED, ids=[line.splitlines()[0][:40] for line, _ in REFUSED])
def test_each_refusal_names_its_line(line: str, reason: str) -> None:
    found = refusals(f"from manim import *\n{line}\n")
    assert any(text.startswith("Line 2: ") and reason in text for text in found), found


def test_code_that_would_choke_the_reader_is_refused_in_words() -> None:
    assert "characters" in refusals("x = 1\n" * 10_000)[0]
    assert "parts" in refusals("x=[" + "1," * 15_000 + "]")[0]
    assert refusals("x = " + "(" * 5000 + ")" * 5000)[0].startswith(("Line", "It does not parse"))
    assert refusals("x = '\0'")


def test_examples_of_the_installed_manim_pass() -> None:
    """Measured: 415 of its 422 documented examples; a stricter gate would refuse what models learn from."""
    pytest.importorskip("manim")
    from t2v_studio.datasets.text_pairs.snippets import extract, installed_package

    rows, _ = extract(installed_package())
    refused = [row["url"] for row in rows if refusals(row["code"])]
    assert len(rows) > 300 and len(refused) <= 0.03 * len(rows), refused
