"""Every shipped template loads, reads well, and is found by its topics."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2v_studio.errors import InputError
from t2v_studio.planning.templates import choose_template, load_templates, read_template, template_rows
from t2v_studio.workspace import SHIPPED

NAMES = [
    "a_star",
    "attention",
    "backpropagation",
    "bias_variance",
    "classification_metrics",
    "general",
    "gradient_descent",
]


def test_all_templates_load_with_four_scenes() -> None:
    templates = load_templates()
    assert sorted(templates) == NAMES
    assert all(len(template.scenes) == 4 for template in templates.values())
    assert {row["name"] for row in template_rows(templates)} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_short_spoken_sentences(name: str) -> None:
    for scene in load_templates()[name].scenes:
        assert 2 <= len(scene.steps) <= 4
        for step in scene.steps:
            if "{goal}" in step.say:
                continue
            assert 8 <= len(step.say.split()) <= 28, step.say
            assert step.say[0].isupper() and step.say[-1] in ".?", step.say
            assert 2 <= len(step.show.split()) <= 7, step.show
            assert not step.show.endswith("."), step.show
        assert len({step.show for step in scene.steps}) == len(scene.steps)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "general"])
def test_named_templates_show_a_simulation_with_a_formula(name: str) -> None:
    for scene in load_templates()[name].scenes:
        assert scene.visual.kind != "process"
        assert scene.formula


def test_formulas_are_understood_by_both_typesetters() -> None:
    ziamath = pytest.importorskip("ziamath")
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    for template in load_templates().values():
        for scene in template.scenes:
            if scene.formula:
                assert parser.parse(f"${scene.formula}$").width > 10, scene.formula
                assert ziamath.Latex(scene.formula).getsize()[0] > 10, scene.formula


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("gradient descent", "gradient_descent"),
        ("Explain stochastic gradient descent to me", "gradient_descent"),
        ("gradient flow in backpropagation", "backpropagation"),
        ("A* search", "a_star"),
        ("a-star on a grid", "a_star"),
        ("how does self-attention work?", "attention"),
        ("attention deficit disorder", "general"),
        ("the death of a star", "general"),
        ("bias-variance trade-off", "bias_variance"),
        ("Overfitting", "bias_variance"),
        ("precision and recall", "classification_metrics"),
        ("ROC curves", "classification_metrics"),
        ("explain support vector machines, step by step", "general"),
        ("impressive astaroth", "general"),
        ("backpropagation by gradient descent", "gradient_descent"),
    ],
)
def test_auto_chooses_by_whole_words(topic: str, name: str) -> None:
    assert choose_template("auto", topic, load_templates()).name == name


def test_an_unknown_template_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        choose_template("gradient_decent", "x", load_templates())
    assert caught.value.code == "unknown_name"
    assert "gradient_descent" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("query: gradient descent minimise a cost", "qeury: gradient descent minimise a cost", "query"),
        ("kind: gradient_descent, view: curve", "kind: gradient_desent, view: curve", "gradient_descent"),
        ("learning_rate: 0.1,", "learning_rat: 0.1,", "learning_rate"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest_name(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = (SHIPPED / "templates" / "gradient_descent.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "gradient_descent.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_template(path)
    assert caught.value.code == "unknown_name"
    assert f'"{expected}"' in caught.value.hint


def test_broken_yaml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("name: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"odd\.yaml"):
        read_template(path)
