"""The planner of rlwe: what it promises, what it refuses, and that each promise follows from its own bound."""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_core import planner
from he_core.codec import CodecShape
from he_core.errors import ParameterError
from he_core.params import LATTICE_MODULUS_BITS, RlweParameters
from he_core.planner import plan

DEFAULT = RlweParameters()
Q = RlweParameters.MODULUS


def shape(bits: int = 16, k_max: int = 8, value_count: int = 1_000_000) -> CodecShape:
    return CodecShape(bits, k_max, value_count)


def test_the_modulus_is_prime_and_serves_every_degree() -> None:
    assert Q == 2**50 - 2**44 + 1
    # Pratt: 11 generates, as no proper divisor of q - 1 = 2^44 3^2 7 is its order.
    assert pow(11, Q - 1, Q) == 1
    assert all(pow(11, (Q - 1) // prime, Q) != 1 for prime in (2, 3, 7))
    assert all((Q - 1) % (2 * degree) == 0 for degree, _ in LATTICE_MODULUS_BITS)


@pytest.mark.parametrize(("security_bits", "degree"), [(128, 2048), (192, 4096), (256, 4096)])
def test_strength_decides_the_degree_by_the_table(security_bits: int, degree: int) -> None:
    parameters = RlweParameters(security_bits=security_bits)
    assert parameters.degree == degree
    assert LATTICE_MODULUS_BITS[degree, security_bits] >= math.log2(Q)
    assert degree == 2048 or LATTICE_MODULUS_BITS[degree // 2, security_bits] < math.log2(Q)


@pytest.mark.parametrize(
    ("literal", "named"),
    [
        ({"security_bits": 80}, "security_bits"),
        ({"security_bits": 512}, "security_bits"),
        ({"security_bits": 128.0}, "security_bits"),
        ({"security_bits": True}, "security_bits"),
        ({"failure_bits": 63}, "failure_bits"),
        ({"failure_bits": 129}, "failure_bits"),
        ({"failure_bits": "64"}, "failure_bits"),
    ],
)
def test_parameters_past_the_table_are_refused_by_name(literal: dict[str, object], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        RlweParameters.from_literal(literal)
    assert caught.value.name == named


def test_the_default_takes_22_bits_a_value() -> None:
    layout = plan(DEFAULT, shape())
    assert (layout.fields_per_coefficient, layout.dropped_bits, layout.degree) == (2, 6, 2048)
    assert layout.payload_bytes == 500_000 * 44 // 8 + 9_984  # the one-time key, encrypted
    assert layout.payload_bytes / 1_000_000 < 3.3


GRID = list(itertools.product((2, 5, 8, 12, 16, 20, 24), (1, 2, 3, 8, 64, 200)))


@pytest.mark.parametrize("security_bits", [128, 256])
@pytest.mark.parametrize(("bits", "k_max"), GRID)
def test_every_plan_keeps_its_promises(bits: int, k_max: int, security_bits: int) -> None:
    parameters = RlweParameters(security_bits=security_bits)
    for value_count in (1, 2049, 10_000_000):
        chosen = shape(bits, k_max, value_count)
        layout = plan(parameters, chosen)
        assert layout.failure_bits >= parameters.failure_bits
        assert layout.plaintext_bits + layout.dropped_bits <= 44
        assert layout.key_plaintext_bits + layout.key_v_dropped_bits <= 44
        assert layout.fields_per_coefficient * layout.coefficient_count >= value_count
        # Every sum of fields, of keys and of coefficients fits what holds it.
        assert k_max * (2**bits - 1) < 2**chosen.field_bits
        assert 2 ** (layout.key_plaintext_bits - 1) > k_max * planner.LARGEST_SAMPLE
        assert all(k_max << planner.coefficient_width(dropped) <= 2**64 for _, dropped in layout.parts)


@pytest.mark.parametrize(("bits", "k_max"), [(16, 8), (16, 64), (8, 3), (24, 200), (2, 1)])
def test_no_other_number_of_fields_or_dropped_bits_is_cheaper_within_the_bound(bits: int, k_max: int) -> None:
    """Tries every layout there is, against the bound as the module's text states it."""
    chosen = shape(bits, k_max, 100_000)
    cheapest = math.inf
    for fields in range(1, 45):
        for dropped in range(45):
            plaintext_bits = fields * chosen.field_bits
            if plaintext_bits + dropped > 44:
                continue
            count = -(-chosen.value_count // fields)
            spacing = 63 << (44 - plaintext_bits - dropped)
            variance = k_max * 40.5 + (k_max + 1) * Fraction(4**dropped - 1, 12)
            margin = (spacing // 2 << dropped) - (2 * k_max + 2) - (k_max + 1) / 2
            if margin > 0 and 2 * count * math.exp(-(margin**2) / (2 * float(variance))) <= 2.0**-65:
                cheapest = min(cheapest, -(-count * (50 - dropped) // 8))
    layout = plan(DEFAULT, chosen)
    count, dropped = layout.parts[2]
    assert planner.part_bytes(count, dropped) == cheapest


def test_a_smaller_failure_probability_never_makes_a_shorter_ciphertext() -> None:
    sizes = [plan(RlweParameters(failure_bits=bits), shape(16, 64)).payload_bytes for bits in (64, 96, 128)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("k_max", [16_384, 65_536, 1 << 20])
def test_what_does_not_fit_is_refused_with_the_wish_to_relax(k_max: int) -> None:
    with pytest.raises(ParameterError, match=r"k_max=\d+: .*lower k_max to (\d+) or fewer") as caught:
        plan(DEFAULT, shape(8, k_max))
    assert caught.value.name == "k_max"
    offered = re.search(r"lower k_max to (\d+)", str(caught.value))
    assert offered is not None
    plan(DEFAULT, shape(8, int(offered[1])))
    with pytest.raises(ParameterError):
        plan(DEFAULT, shape(8, int(offered[1]) + 1))


@given(clients=st.integers(1, 8192), dropped=st.integers(0, 30), failure_bits=st.integers(1, 128))
def test_the_noise_bound_grows_with_clients_and_certainty(clients: int, dropped: int, failure_bits: int) -> None:
    bound = planner.noise_bound(clients, dropped, failure_bits)
    assert bound < planner.noise_bound(clients + 1, dropped, failure_bits)
    assert bound < planner.noise_bound(clients, dropped, failure_bits + 1)


def test_plans_are_made_once() -> None:
    assert plan(DEFAULT, shape()) is plan(DEFAULT, shape())
