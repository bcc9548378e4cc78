"""Transforms and products of every C target against plain Python integers."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlwe_oracle as oracle

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

DEGREES = [2**k for k in range(5, 13)]
every_target = pytest.mark.parametrize("target", native.targets())


def sample(*shape: int, seed: int = 0) -> np.ndarray:
    """uint64 residues: 0, 1 and q - 1 among random ones."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, oracle.Q, shape, dtype=np.uint64)
    is_edge = rng.random(shape) < 0.3
    values[is_edge] = rng.choice(np.array([0, 1, oracle.Q - 1], np.uint64), int(is_edge.sum()))
    return values


def forward(poly: np.ndarray, target: str) -> np.ndarray:
    out = poly.copy()
    native.forward(out, target=target)
    return out


def multiply(a: np.ndarray, b: np.ndarray, target: str) -> np.ndarray:
    """a, uint64[L, N], each times b, uint64[N]."""
    out = np.full(a.shape, 2**64 - 1, np.uint64)
    native.multiply(out, forward(a, target), forward(b, target), target=target)
    return out


def test_the_generator_is_the_one_the_documentation_names() -> None:
    assert oracle.smallest_generator() == 11


@every_target
@pytest.mark.parametrize("degree", DEGREES)
def test_forward_evaluates_at_the_odd_powers_of_psi_in_bit_reversed_order(target: str, degree: int) -> None:
    poly = sample(degree)
    values = forward(poly, target).tolist()
    indices = range(degree) if degree <= 128 else (0, 1, 2, 3, degree // 2, degree - 2, degree - 1)
    for index in indices:
        assert values[index] == oracle.transform_at(poly.tolist(), index), index


@every_target
@pytest.mark.parametrize("degree", DEGREES)
def test_inverse_undoes_forward(target: str, degree: int) -> None:
    poly = sample(degree, seed=1)
    values = forward(poly, target)
    native.inverse(values, target=target)
    assert (values == poly).all()


@every_target
@pytest.mark.parametrize("degree", DEGREES)
def test_every_target_computes_what_portable_does(target: str, degree: int) -> None:
    a, b = sample(3, degree, seed=2), sample(degree, seed=3)
    assert (forward(a, target) == forward(a, "portable")).all()
    assert (multiply(a, b, target) == multiply(a, b, "portable")).all()


@every_target
@pytest.mark.parametrize("degree", [32, 64, 128, 256])
def test_multiply_is_the_schoolbook_negacyclic_product(target: str, degree: int) -> None:
    a, b = sample(2, degree, seed=4), sample(degree, seed=5)
    expected = [oracle.negacyclic_product(row, b.tolist()) for row in a.tolist()]
    assert multiply(a, b, target).tolist() == expected


@every_target
def test_a_power_of_x_turns_the_largest_degree_and_what_wraps_is_negated(target: str) -> None:
    degree, shift = 4096, 1000
    a, b = sample(1, degree, seed=6), np.zeros(degree, np.uint64)
    b[shift] = 1
    expected = np.roll(a[0], shift)
    expected[:shift] = (np.uint64(oracle.Q) - expected[:shift]) % np.uint64(oracle.Q)
    assert (multiply(a, b, target)[0] == expected).all()


@every_target
@pytest.mark.parametrize("value", [0, 1, oracle.Q // 2, oracle.Q // 2 + 1, oracle.Q - 1])
def test_values_all_alike_come_back(target: str, value: int) -> None:
    poly = np.full(2048, value, np.uint64)
    values = forward(poly, target)
    native.inverse(values, target=target)
    assert (values == poly).all()
    native.inverse(values, target=target)
    assert (forward(values, target) == poly).all()


@every_target
def test_several_polynomials_are_transformed_one_by_one(target: str) -> None:
    polys = sample(5, 64, seed=7)
    expected = np.stack([forward(poly, target) for poly in polys])
    assert (forward(polys, target) == expected).all()
    assert (multiply(polys, polys[0], target)[3] == multiply(polys[3:4], polys[0], target)[0]).all()


@every_target
def test_no_polynomials_are_no_work(target: str) -> None:
    empty = np.empty((0, 64), np.uint64)
    native.forward(empty, target=target)
    native.inverse(empty, target=target)
    native.multiply(empty.copy(), empty, sample(64), target=target)


residues = st.one_of(st.integers(0, oracle.Q - 1), st.sampled_from([0, 1, oracle.Q // 2, oracle.Q - 1]))
polynomials = st.lists(residues, min_size=32, max_size=32)


@every_target
@settings(max_examples=50, deadline=None)
@given(a=polynomials, b=polynomials)
def test_any_product_agrees_with_the_oracle(target: str, a: list[int], b: list[int]) -> None:
    out = multiply(np.array([a], np.uint64), np.array(b, np.uint64), target)
    assert out[0].tolist() == oracle.negacyclic_product(a, b)


@every_target
@settings(max_examples=50, deadline=None)
@given(poly=st.sampled_from([32, 64, 128]).flatmap(lambda n: st.lists(residues, min_size=n, max_size=n)))
def test_any_polynomial_survives_the_round_trip(target: str, poly: list[int]) -> None:
    values = np.array(poly, np.uint64)
    native.forward(values, target=target)
    assert values.tolist()[:4] == [oracle.transform_at(poly, index) for index in range(4)]
    native.inverse(values, target=target)
    assert values.tolist() == poly


def test_threads_share_one_table_from_the_first_call_on() -> None:
    polys = [sample(1024, seed=seed) for seed in range(8)]
    outs = [poly.copy() for poly in polys]
    threads = [threading.Thread(target=native.forward, args=(out,)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for poly, out in zip(polys, outs, strict=True):
        assert (out == forward(poly, "portable")).all()
