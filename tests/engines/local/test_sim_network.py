"""Backpropagation against finite differences and torch's autograd."""

import numpy as np
import pytest

from t2v_studio.engines.local.simulations.network import forward, squared_loss, train_step

CASES = [
    ([2, 3, 1], "sigmoid", 0),
    ([3, 4, 2], "tanh", 1),
    ([2, 5, 3, 1], "relu", 2),
    ([1, 1], "sigmoid", 3),
    ([2, 2, 2, 2, 2], "tanh", 4),
]


def _loss(run, weights, biases):
    return squared_loss(forward(run.activations[0], weights, biases, run.names)[1][-1], run.target)


@pytest.mark.parametrize(("layers", "activation", "seed"), CASES)
def test_gradients_equal_central_differences(layers, activation, seed):
    run = train_step(layers, activation, 0.5, seed)
    h = 1e-6
    for layer, gradient in enumerate(run.weight_gradients):
        for place in np.ndindex(gradient.shape):
            nudged = [[w.copy() for w in run.weights] for _ in range(2)]
            nudged[0][layer][place] += h
            nudged[1][layer][place] -= h
            numeric = (_loss(run, tuple(nudged[0]), run.biases) - _loss(run, tuple(nudged[1]), run.biases)) / (2 * h)
            assert gradient[place] == pytest.approx(numeric, abs=1e-7)
        for unit in range(len(run.biases[layer])):
            nudged = [[b.copy() for b in run.biases] for _ in range(2)]
            nudged[0][layer][unit] += h
            nudged[1][layer][unit] -= h
            numeric = (_loss(run, run.weights, tuple(nudged[0])) - _loss(run, run.weights, tuple(nudged[1]))) / (2 * h)
            assert run.bias_gradients[layer][unit] == pytest.approx(numeric, abs=1e-7)


@pytest.mark.parametrize(("layers", "activation", "seed"), CASES[:3])
def test_gradients_equal_autograd(layers, activation, seed):
    torch = pytest.importorskip("torch")
    run = train_step(layers, activation, 0.5, seed)
    weights = [torch.tensor(w, requires_grad=True) for w in run.weights]
    value = torch.tensor(run.activations[0])
    functions = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "linear": lambda z: z}
    for weight, bias, name in zip(weights, run.biases, run.names, strict=True):
        value = functions[name](weight @ value + torch.tensor(bias))
    loss = 0.5 * ((value - torch.tensor(run.target)) ** 2).sum()
    loss.backward()
    assert run.loss == pytest.approx(loss.item())
    for weight, gradient in zip(weights, run.weight_gradients, strict=True):
        assert gradient == pytest.approx(weight.grad.numpy())


def test_the_update_is_one_step_against_the_gradient():
    run = train_step([2, 3, 1], "sigmoid", 0.5, 0)
    for old, new, gradient in zip(run.weights, run.new_weights, run.weight_gradients, strict=True):
        assert new == pytest.approx(old - 0.5 * gradient)
    assert run.new_loss == pytest.approx(_loss(run, run.new_weights, run.new_biases))
    assert run.new_loss < run.loss


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_every_seed_has_a_gradient_worth_showing(seed, activation):
    run = train_step([2, 3, 1], activation, 0.5, seed)
    assert np.abs(run.deltas[0]).max() > 0.004
    for weight in run.weights:
        assert weight == pytest.approx(np.round(weight, 2), abs=0) and np.abs(weight).min() >= 0.2
