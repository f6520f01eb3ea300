"""A small multilayer perceptron on one example: forward, loss, backpropagation, one update."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import unknown_name

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NetworkPass:
    """All numbers of one training step; L layers of weights between L + 1 layers of units.

    weights[l]: (units of l + 1, units of l); biases[l], sums[l], deltas[l]: (units of l + 1,);
    activations[l]: (units of l,). deltas are dLoss/dsum. names[l] is the activation of weight layer l.
    """

    sizes: tuple[int, ...]
    names: tuple[str, ...]
    weights: tuple[Matrix, ...]
    biases: tuple[Vector, ...]
    sums: tuple[Vector, ...]
    activations: tuple[Vector, ...]
    target: Vector
    loss: float
    deltas: tuple[Vector, ...]
    weight_gradients: tuple[Matrix, ...]
    bias_gradients: tuple[Vector, ...]
    rate: float
    new_weights: tuple[Matrix, ...]
    new_biases: tuple[Vector, ...]
    new_loss: float
    new_output: Vector


def activate(name: str, sums: Vector) -> Vector:
    """sigmoid, tanh, relu or linear."""
    if name == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-sums)))
    if name == "tanh":
        return np.asarray(np.tanh(sums))
    if name == "relu":
        return np.asarray(np.maximum(sums, 0.0))
    if name == "linear":
        return sums.copy()
    raise unknown_name("visual.activation", name, ["sigmoid", "tanh", "relu"])


def slope(name: str, sums: Vector) -> Vector:
    """Derivative of `activate` at the sums."""
    value = activate(name, sums)
    if name == "sigmoid":
        return np.asarray(value * (1 - value))
    if name == "tanh":
        return np.asarray(1 - value**2)
    if name == "relu":
        return np.asarray((sums > 0).astype(float))
    return np.ones_like(sums)


def forward(
    inputs: Vector, weights: tuple[Matrix, ...], biases: tuple[Vector, ...], names: tuple[str, ...]
) -> tuple[tuple[Vector, ...], tuple[Vector, ...]]:
    """Sums of each weight layer, and activations of each layer of units (inputs first)."""
    sums, activations = [], [inputs]
    for weight, bias, name in zip(weights, biases, names, strict=True):
        sums.append(weight @ activations[-1] + bias)
        activations.append(activate(name, sums[-1]))
    return tuple(sums), tuple(activations)


def squared_loss(output: Vector, target: Vector) -> float:
    """Half the squared error, summed over the outputs."""
    return float(0.5 * ((output - target) ** 2).sum())


def train_step(layers: list[int], activation: str, rate: float, seed: int) -> NetworkPass:
    """One step of backpropagation (Rumelhart, Hinton and Williams, 1986) on a seeded network and example.

    Weights, biases, inputs and target have two decimals, so that a reader can recompute every number.
    With relu the output is linear; the first draw is taken whose gradient reaches the first layer.
    """
    names = (activation,) * (len(layers) - 2) + ("linear" if activation == "relu" else activation,)
    for attempt in range(50):
        rng = np.random.default_rng([seed, attempt])
        weights = tuple(_weights(rng, below, above) for below, above in itertools.pairwise(layers))
        biases = tuple(np.round(rng.uniform(-0.4, 0.4, above), 2) for above in layers[1:])
        inputs = np.round(rng.choice([-1, 1], layers[0], p=[0.25, 0.75]) * rng.uniform(0.3, 1.0, layers[0]), 2)
        sums, activations = forward(inputs, weights, biases, names)
        target = _target(activations[-1], names[-1])
        run = _backward(tuple(layers), names, weights, biases, sums, activations, target, rate)
        if np.abs(run.deltas[0]).max() > 0.004 and all(
            (a > 0).any() for a in activations[1:-1] if activation == "relu"
        ):
            break
    return run


def _weights(rng: np.random.Generator, below: int, above: int) -> Matrix:
    size = np.maximum(rng.uniform(0.3, 1.3, (above, below)) * min(1.0, (3 / below) ** 0.5), 0.2)
    sign = rng.choice([-1.0, 1.0], (above, below), p=[0.4, 0.6])
    return np.round(size * sign, 2)


def _target(output: Vector, name: str) -> Vector:
    """A target clearly away from the output, within what the output unit can reach."""
    if name == "sigmoid":
        return np.where(output < 0.5, 1.0, 0.0)
    if name == "tanh":
        return np.where(output < 0.0, 1.0, -1.0)
    return np.asarray(np.round(np.where(output < 0.5, output + 0.8, output - 0.8), 1), dtype=np.float64)


def _backward(
    sizes: tuple[int, ...], names: tuple[str, ...], weights: tuple[Matrix, ...], biases: tuple[Vector, ...],
    sums: tuple[Vector, ...], activations: tuple[Vector, ...], target: Vector, rate: float,
) -> NetworkPass:  # fmt: skip
    deltas = [(activations[-1] - target) * slope(names[-1], sums[-1])]
    for layer in range(len(weights) - 2, -1, -1):
        deltas.insert(0, (weights[layer + 1].T @ deltas[0]) * slope(names[layer], sums[layer]))
    weight_gradients = tuple(np.outer(delta, below) for delta, below in zip(deltas, activations[:-1], strict=True))
    new_weights = tuple(w - rate * g for w, g in zip(weights, weight_gradients, strict=True))
    new_biases = tuple(b - rate * d for b, d in zip(biases, deltas, strict=True))
    _, after = forward(activations[0], new_weights, new_biases, names)
    return NetworkPass(
        sizes, names, weights, biases, sums, activations, target, squared_loss(activations[-1], target),
        tuple(deltas), weight_gradients, tuple(deltas), rate, new_weights, new_biases,
        squared_loss(after[-1], target), after[-1],
    )  # fmt: skip
