"""Parameters: their security strengths, what they refuse, and digests that tell them apart."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from he_core.errors import ParameterError
from he_core.params import FACTORING_STRENGTH, PaillierParameters, PlainParameters, UnquantisedParameters


def test_the_strength_table_is_nists() -> None:
    """SP 800-57 Part 1 Rev. 5, Table 2, column IFC."""
    assert FACTORING_STRENGTH == {2048: 112, 3072: 128, 7680: 192}


@pytest.mark.parametrize(
    ("modulus_bits", "security_bits"),
    [(2048, 112), (2304, 112), (2816, 112), (3072, 128), (4096, 128), (7424, 128), (7680, 192), (8192, 192)],
)
def test_a_modulus_between_two_rows_has_the_lower_rows_strength(modulus_bits: int, security_bits: int) -> None:
    assert PaillierParameters(modulus_bits).security_bits == security_bits


def test_the_default_modulus_has_128_bit_strength() -> None:
    assert PaillierParameters() == PaillierParameters(3072)
    assert PaillierParameters().security_bits == 128


@pytest.mark.parametrize(
    "modulus_bits", [0, -3072, 1024, 1792, 2047, 2049, 3000, 8448, 16384, True, "3072", 3072.0, None]
)
def test_any_other_modulus_is_refused_by_value(modulus_bits: Any) -> None:
    with pytest.raises(ParameterError) as refusal:
        PaillierParameters.from_literal({"modulus_bits": modulus_bits})
    assert (refusal.value.name, refusal.value.value) == ("modulus_bits", modulus_bits)


@pytest.mark.parametrize("parameters", [PlainParameters(), UnquantisedParameters()])
def test_what_does_not_encrypt_has_no_strength(parameters: Any) -> None:
    assert parameters.security_bits == 0
    assert parameters.as_dict() == {}


def test_parameters_come_back_from_their_literal() -> None:
    parameters = PaillierParameters(2304)
    assert PaillierParameters.from_literal(parameters.as_dict()) == parameters


def test_every_scheme_and_parameter_has_its_own_digest() -> None:
    digests = {
        parameters.digest
        for parameters in (
            PaillierParameters(2048),
            PaillierParameters(3072),
            PlainParameters(),
            UnquantisedParameters(),
        )
    }
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {32}


def test_parameters_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PaillierParameters().modulus_bits = 1024  # type: ignore[misc]
