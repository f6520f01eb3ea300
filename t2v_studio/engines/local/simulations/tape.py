"""An expression as a graph: values forward, adjoints backward (reverse-mode differentiation)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from t2v_studio.errors import unknown_name


@dataclass(frozen=True)
class Operation:
    """A function of one or two values with its local derivatives."""

    sign: str
    apply: Callable[..., float]
    derivatives: Callable[..., tuple[float, ...]]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


OPERATIONS = {
    "add": Operation("+", lambda a, b: a + b, lambda a, b: (1.0, 1.0)),
    "subtract": Operation("−", lambda a, b: a - b, lambda a, b: (1.0, -1.0)),
    "multiply": Operation("×", lambda a, b: a * b, lambda a, b: (b, a)),
    "square": Operation("( )²", lambda a: a * a, lambda a: (2 * a,)),
    "sigmoid": Operation("σ", _sigmoid, lambda a: (_sigmoid(a) * (1 - _sigmoid(a)),)),
}


@dataclass(frozen=True)
class TapeNode:
    """A node in order of evaluation. `adjoint` is d(output)/d(this); `depth` counts from the leaves.

    local[i] is d(this)/d(inputs[i]).
    """

    name: str
    operation: str
    inputs: tuple[int, ...]
    value: float
    local: tuple[float, ...]
    adjoint: float
    depth: int


@dataclass(frozen=True, eq=False)
class Tape:
    """An evaluated expression: leaves first, the output last."""

    expression: str
    latex: str
    nodes: tuple[TapeNode, ...]

    @property
    def leaves(self) -> dict[str, float]:
        return {node.name: node.value for node in self.nodes if not node.inputs}


_Recipe = tuple[str, str, tuple[str, ...], list[tuple[str, str, tuple[str, ...]]]]

EXPRESSIONS: dict[str, _Recipe] = {
    "product_sum": (
        r"f = (a + b) \cdot c", "f", ("a", "b", "c"), [("s", "add", ("a", "b")), ("f", "multiply", ("s", "c"))],
    ),
    "sigmoid_neuron": (
        r"y = \sigma(w\,x + b)", "y", ("w", "x", "b"),
        [("p", "multiply", ("w", "x")), ("z", "add", ("p", "b")), ("y", "sigmoid", ("z",))],
    ),
    "squared_error": (
        r"L = (w\,x + b - y)^2", "L", ("w", "x", "b", "y"),
        [
            ("p", "multiply", ("w", "x")), ("z", "add", ("p", "b")),
            ("e", "subtract", ("z", "y")), ("L", "square", ("e",)),
        ],
    ),
}  # fmt: skip
"""Name to (LaTeX, output, leaves, operations in order of evaluation)."""


def record(expression: str, seed: int) -> Tape:
    """Evaluate an expression on seeded values with one decimal, then sweep the adjoints back."""
    if expression not in EXPRESSIONS:
        raise unknown_name("visual.expression", expression, list(EXPRESSIONS))
    rng = np.random.default_rng([seed, 7])
    return evaluate(expression, _leaves(expression, rng))


def _leaves(expression: str, rng: np.random.Generator) -> dict[str, float]:
    """Small numbers whose products are easy to follow, and an error that is not zero."""
    names = EXPRESSIONS[expression][2]
    while True:
        size = rng.integers(1, 7, len(names)) / 2
        sign = rng.choice([-1.0, 1.0], len(names), p=[0.3, 0.7])
        leaves = {name: float(value) for name, value in zip(names, size * sign, strict=True)}
        tape = evaluate(expression, leaves)
        biggest = max(abs(number) for node in tape.nodes for number in (node.value, node.adjoint, *node.local))
        smallest = min(abs(node.adjoint) for node in tape.nodes)
        if biggest < 20 and smallest > 0.04 and len({abs(value) for value in leaves.values()}) == len(leaves):
            return leaves


def evaluate(expression: str, leaves: dict[str, float]) -> Tape:
    """Values forward in order, adjoints backward: adjoint of an input += adjoint of the node * local derivative."""
    latex, _, names, operations = EXPRESSIONS[expression]
    place = {name: index for index, name in enumerate(names)}
    rows: list[tuple[str, str, tuple[int, ...], float, tuple[float, ...], int]] = [
        (name, "leaf", (), leaves[name], (), 0) for name in names
    ]
    for name, operation, sources in operations:
        inputs = tuple(place[source] for source in sources)
        arguments = [rows[i][3] for i in inputs]
        rule = OPERATIONS[operation]
        depth = 1 + max(rows[i][5] for i in inputs)
        place[name] = len(rows)
        rows.append((name, operation, inputs, rule.apply(*arguments), rule.derivatives(*arguments), depth))
    adjoints = [0.0] * len(rows)
    adjoints[-1] = 1.0
    for index in range(len(rows) - 1, -1, -1):
        for source, local in zip(rows[index][2], rows[index][4], strict=True):
            adjoints[source] += adjoints[index] * local
    nodes = tuple(
        TapeNode(name, operation, inputs, value, local, adjoint, depth)
        for (name, operation, inputs, value, local, depth), adjoint in zip(rows, adjoints, strict=True)
    )
    return Tape(expression, latex, nodes)
