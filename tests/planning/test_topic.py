"""A topic as typed becomes a phrase that fits into a sentence."""

from __future__ import annotations

import pytest

from t2v_studio.planning.topic import layout_of, lower_first, phrases, shortened


@pytest.mark.parametrize(
    ("topic", "noun", "label"),
    [
        ("explain support vector machines, step by step", "support vector machines", "support vector machines"),
        ("what is a hash table?", "a hash table", "hash table"),
        ("hash table", "a hash table", "hash table"),
        ("A* search", "A* search", "A* search"),
        ("gradient flow in backpropagation", "gradient flow in backpropagation", "gradient flow in backpropagation"),
        ("EM algorithm", "the EM algorithm", "EM algorithm"),
        ("bias and fairness trade-off", "the bias and fairness trade-off", "bias and fairness trade-off"),
        ("LSTM network", "an LSTM network", "LSTM network"),
        ("Support Vector Machines", "support vector machines", "support vector machines"),
        ("Introduction to Markov chains", "Markov chains", "Markov chains"),
        ("Bayes' theorem", "Bayes' theorem", "Bayes' theorem"),
        ("How does gradient boosting work?", "gradient boosting", "gradient boosting"),
        ("Explain how backpropagation works", "backpropagation", "backpropagation"),
        ("Please explain to me the water cycle in simple terms", "the water cycle", "water cycle"),
        ("explain why gradients vanish", "the question of why gradients vanish", "why gradients vanish"),
        ("why is the sky blue?", "the question “why is the sky blue”", "why is the sky blue"),
        ("Compare BFS with DFS", "BFS and DFS", "BFS and DFS"),
        ("K-means", "k-means", "k-means"),
        ("explain", "explain", "explain"),
    ],
)
def test_phrases(topic: str, noun: str, label: str) -> None:
    found = phrases(topic)
    assert (found.noun, found.label) == (noun, label)


def test_layouts_follow_the_words_of_the_topic() -> None:
    assert layout_of("the water cycle") == "cycle"
    assert layout_of("history of computing") == "timeline"
    assert layout_of("BFS versus DFS") == "map"
    assert layout_of("hash tables") is None
    assert layout_of("bicycle mechanics") is None


def test_lowering_keeps_names_and_acronyms() -> None:
    assert lower_first("Undergraduate students") == "undergraduate students"
    assert lower_first("PhD students") == "PhD students"
    assert lower_first("ML engineers") == "ML engineers"
    assert lower_first("Markov chains") == "Markov chains"


def test_long_labels_are_cut_between_words() -> None:
    assert shortened("support vector machines", 44) == "support vector machines"
    cut = shortened("a very long topic that would never fit into the heading of a scene", 30)
    assert len(cut) <= 30 and cut.endswith("…") and not cut.endswith(" …")
