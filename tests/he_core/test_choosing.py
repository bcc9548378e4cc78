"""What a user chooses a scheme by: trust, strength, and an error that sums keep to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from he_core import Codec, CodecShape, Trust, registry
from he_core.errors import HeCoreError, RingTooSmallError
from he_core.params import BfvParameters, CkksParameters, PaillierParameters, PlainParameters, RlweParameters

if TYPE_CHECKING:
    from tests.he_core.conftest import Engine

LIMIT = 0.05


def test_every_trust_has_a_label_and_a_sentence_that_starts_with_it() -> None:
    assert [trust.label for trust in Trust] == ["none", "shared-key", "threshold"]
    for trust in Trust:
        assert trust.sentence.partition(":")[0] == trust.label.replace("-", " ")


def test_who_encrypts_nothing_offers_no_trust_and_no_one_else() -> None:
    for status in registry.default().statuses():
        if status.capabilities is not None:
            assert status.capabilities.encrypts == (status.capabilities.trust > Trust.NONE)


def test_schemes_that_can_be_split_are_those_whose_parameters_make_a_threshold_scheme() -> None:
    for status in registry.default().statuses():
        if status.obstacle is not None:
            continue
        if status.can_be_split:
            made = registry.create(status.scheme, status.backend, {"threshold": 2, "clients": 3}, threads=1)
            assert made.capabilities.trust is Trust.THRESHOLD
        else:
            with pytest.raises(HeCoreError, match="threshold"):
                registry.create(status.scheme, status.backend, {"threshold": 2, "clients": 3}, threads=1)


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("bits", [4, 16, 24])
def test_the_mean_keeps_to_the_stated_error(engine: Engine, bits: int, rounding: str) -> None:
    clients = 8
    shape = CodecShape(bits, clients, 200)
    try:
        engine.scheme.payload_bytes(shape)
    except RingTooSmallError:
        return  # and so says the scheme: nothing is claimed
    codec = Codec(bits, clients, (200,), (LIMIT,), rounding=rounding)  # type: ignore[arg-type]
    random = np.random.default_rng(bits)
    updates = [random.uniform(-LIMIT, LIMIT, 200).astype(np.float32) for _ in range(clients)]
    mean = engine.decrypt(engine.sum(updates, codec), codec)
    stated = engine.scheme.mean_error(codec)
    if stated is not None:
        assert np.abs(mean - np.mean(updates, axis=0, dtype=np.float64)).max() <= stated * LIMIT


def test_quantising_costs_half_a_step_or_a_whole_one_where_rounding_is_stochastic() -> None:
    nearest, stochastic = (Codec(16, 8, (1,), (2.0,), rounding=rounding) for rounding in ("nearest", "stochastic"))
    step = nearest.steps[0] / nearest.limits[0]
    assert nearest.relative_error == pytest.approx(step / 2, rel=0.01)
    assert stochastic.relative_error == pytest.approx(step, rel=0.01)


@pytest.mark.parametrize(
    ("wanted", "strength"), [(0, 128), (112, 128), (128, 128), (129, 192), (192, 192), (256, 256), (257, 128)]
)
@pytest.mark.parametrize("kind", [RlweParameters, BfvParameters, CkksParameters])
def test_lattice_schemes_are_strengthened_where_they_can_be(kind: Any, wanted: int, strength: int) -> None:
    assert kind.at_strength(wanted) == kind(security_bits=strength)


@pytest.mark.parametrize(("wanted", "modulus_bits"), [(0, 3072), (128, 3072), (129, 7680), (192, 7680), (193, 3072)])
def test_paillier_is_strengthened_where_it_can_be(wanted: int, modulus_bits: int) -> None:
    assert PaillierParameters.at_strength(wanted) == PaillierParameters(modulus_bits)


def test_what_does_not_encrypt_cannot_be_strengthened() -> None:
    assert PlainParameters.at_strength(128) == PlainParameters()
