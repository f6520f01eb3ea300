"""Figures of a moment: the three formats, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from t2v_studio.engines.local.figure import figure
from t2v_studio.engines.local.samples import sample_plans
from t2v_studio.errors import InputError

PLAN = sample_plans()["process"]


def test_pdf_holds_the_words_as_text_and_has_one_page(tmp_path: Path) -> None:
    import pypdf

    reader = pypdf.PdfReader(figure(PLAN, 1, 1.0, tmp_path / "fig.pdf"))
    assert len(reader.pages) == 1
    words = reader.pages[0].extract_text()
    assert "From points to a rule" in words and "Step 4 of 4" in words
    assert reader.metadata is not None and reader.metadata.title == "From points to a rule"
    assert [round(float(v)) for v in reader.pages[0].mediabox] == [0, 0, 640, 360]


def test_svg_is_well_formed_scales_and_needs_no_fonts(tmp_path: Path) -> None:
    root = ElementTree.parse(figure(PLAN, 2, 0.5, tmp_path / "fig.svg")).getroot()
    assert root.attrib["viewBox"] == "0 0 1280 720"
    tags = {element.tag.rsplit("}", 1)[-1] for element in root.iter()}
    assert "path" in tags and "text" not in tags and "image" not in tags


def test_all_formats_show_the_same_picture(tmp_path: Path) -> None:
    import pypdfium2

    png = np.asarray(Image.open(figure(PLAN, 1, 0.6, tmp_path / "fig.png")).convert("L"), float)
    assert png.shape == (720, 1280)
    page = pypdfium2.PdfDocument(figure(PLAN, 1, 0.6, tmp_path / "fig.pdf"))[0]
    pdf = np.asarray(page.render(scale=2).to_pil().convert("L").resize((1280, 720)), float)
    assert np.corrcoef(png.ravel(), pdf.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_moment_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first = figure(PLAN, 1, 0.3, tmp_path / f"a{suffix}").read_bytes()
    assert figure(PLAN, 1, 0.3, tmp_path / f"b{suffix}").read_bytes() == first
    assert figure(PLAN, 1, 0.9, tmp_path / f"c{suffix}").read_bytes() != first
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}", f"c{suffix}"]


@pytest.mark.parametrize(
    ("scene", "at", "name", "word"),
    [(1, 0.5, "fig.jpg", "output"), (1, 0.5, "fig", "output"), (0, 0.5, "f.svg", "scene"), (9, 0.5, "f.svg", "scene"),
     (1, 1.5, "f.svg", "at"), (1, float("nan"), "f.svg", "at")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_by_name(tmp_path: Path, scene: int, at: float, name: str, word: str) -> None:
    with pytest.raises(InputError, match=f"^{word}:") as raised:
        figure(PLAN, scene, at, tmp_path / name)
    assert raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_tall_figure_keeps_its_shape(tmp_path: Path) -> None:
    path = figure(PLAN, 1, 0.5, tmp_path / "tall.png", width=360, height=640, theme="dark")
    assert Image.open(path).size == (360, 640)
