"""Adjoints of the compute graph against plain formulas and finite differences."""

import math

import pytest

from t2v_studio.engines.local.simulations.tape import EXPRESSIONS, OPERATIONS, evaluate, record

FORMULAS = {
    "product_sum": lambda v: (v["a"] + v["b"]) * v["c"],
    "sigmoid_neuron": lambda v: 1 / (1 + math.exp(-(v["w"] * v["x"] + v["b"]))),
    "squared_error": lambda v: (v["w"] * v["x"] + v["b"] - v["y"]) ** 2,
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("seed", range(12))
def test_value_and_adjoints_equal_the_formula_and_its_central_differences(expression, seed):
    tape = record(expression, seed)
    formula, leaves = FORMULAS[expression], tape.leaves
    assert tape.nodes[-1].value == pytest.approx(formula(leaves))
    for node in tape.nodes:
        if not node.inputs:
            up, down = ({**leaves, node.name: leaves[node.name] + d} for d in (1e-6, -1e-6))
            assert node.adjoint == pytest.approx((formula(up) - formula(down)) / 2e-6, abs=1e-5)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_local_derivatives_and_inner_adjoints(expression):
    tape = record(expression, 5)
    for node in tape.nodes:
        arguments = [tape.nodes[i].value for i in node.inputs]
        for place, local in enumerate(node.local):
            up, down = list(arguments), list(arguments)
            up[place] += 1e-6
            down[place] -= 1e-6
            apply = OPERATIONS[node.operation].apply
            assert local == pytest.approx((apply(*up) - apply(*down)) / 2e-6, abs=1e-5)
    for index, node in enumerate(tape.nodes[:-1]):
        users = [(user, place) for user in tape.nodes for place, i in enumerate(user.inputs) if i == index]
        assert node.adjoint == pytest.approx(sum(user.adjoint * user.local[place] for user, place in users))


def test_the_textbook_case_by_hand():
    tape = evaluate("product_sum", {"a": -2.0, "b": 5.0, "c": -4.0})
    assert [node.value for node in tape.nodes] == [-2, 5, -4, 3, -12]
    assert [node.adjoint for node in tape.nodes] == [-4, -4, 3, -4, 1]
    assert [node.depth for node in tape.nodes] == [0, 0, 0, 1, 2]
