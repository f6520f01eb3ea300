"""English or not: said where it is plain, silent where a text could be either."""

from __future__ import annotations

import pytest

from t2v_studio.planning.language import english_notice, foreign


@pytest.mark.parametrize(
    "text",
    [
        "gradient descent", "A* search", "die casting", "what is the chain rule?", "θ and ∇L(θ)", "de Moivre's formula", "",
        "El Niño", "per capita income", "the un-learning of o-rings", "k-NN", "Rényi entropy", "la Place transform",
    ],
)  # fmt: skip
def test_english_and_proper_names_pass(text: str) -> None:
    assert foreign(text) == ""


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("wie funktioniert das Gradientenverfahren und wie wird es genutzt", "German"),
        ("la descente de gradient pour les réseaux", "French"),
        ("qué es el descenso del gradiente en las redes", "Spanish"),
        ("梯度下降", "Cjk script"),
        ("градиентный спуск", "Cyrillic script"),
    ],
)
def test_other_languages_are_named(text: str, language: str) -> None:
    assert foreign(text) == language
    assert english_notice("Topic", text).startswith(f"Topic looks like {language}")
