"""The registry: names it does not know, backends that cannot run here, and schemes of others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from he_core import Scheme, registry
from he_core.errors import BackendUnavailableError, ParameterError, UnknownNameError
from he_core.params import PlainParameters
from he_core.registry import Registration, Registry
from he_core.schemes.uncovered import Plain

ROOT = Path(__file__).parents[2]


def plain(parameters: PlainParameters, threads: int) -> Scheme:
    return Plain(parameters)


def test_an_unknown_scheme_offers_the_nearest_known_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'paillier'") as refusal:
        registry.create("pailier")
    assert "plain" in refusal.value.known


def test_an_unknown_scheme_far_from_any_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"known: .*paillier.*plain") as refusal:
        registry.create("xyzzy")
    assert "did you mean" not in str(refusal.value)


def test_an_unknown_backend_or_parameter_offers_the_nearest_known_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'gmpy2'"):
        registry.create("paillier", "gmpy")
    with pytest.raises(UnknownNameError, match="did you mean 'modulus_bits'"):
        registry.create("paillier", parameters={"modulus_bit": 3072})


def test_a_backend_that_cannot_run_here_says_what_to_install() -> None:
    own = Registry()
    own.register(Registration(PlainParameters, "vax", plain, lambda: "needs a VAX; buy one"))
    with pytest.raises(BackendUnavailableError, match=r"'vax'.*buy one"):
        own.create("plain", "vax")
    with pytest.raises(BackendUnavailableError, match="buy one"):
        own.create("plain")
    (status,) = own.statuses()
    assert (status.scheme, status.backend, status.obstacle) == ("plain", "vax", "needs a VAX; buy one")
    assert status.capabilities is None


def test_the_first_backend_that_runs_here_is_chosen() -> None:
    own, built = Registry(), []

    def record(name: str) -> Registration:
        def build(parameters: PlainParameters, threads: int) -> Scheme:
            built.append(name)
            return Plain(parameters)

        return Registration(PlainParameters, name, build, lambda: "no" if name == "first" else None)

    for name in ("first", "second", "third"):
        own.register(record(name))
    own.create("plain")
    own.create("plain", "third")
    assert built == ["second", "third"]


def test_a_combination_is_registered_once() -> None:
    own = Registry()
    own.register(Registration(PlainParameters, "numpy", plain))
    with pytest.raises(ParameterError, match="already registered"):
        own.register(Registration(PlainParameters, "numpy", plain))


@pytest.mark.parametrize("name", ["", "seventeen-letters", "with space", "gæp", "nul\0"])
def test_a_scheme_whose_name_no_frame_can_carry_is_refused(name: str) -> None:
    parameters = type("Parameters", (PlainParameters,), {"scheme": name})
    with pytest.raises(ParameterError, match="1 to 16 printable ASCII"):
        Registry().register(Registration(parameters, "numpy", plain))


def test_threads_of_zero_are_every_core_this_process_may_use() -> None:
    own, seen = Registry(), []

    def build(parameters: PlainParameters, threads: int) -> Scheme:
        seen.append(threads)
        return Plain(parameters)

    own.register(Registration(PlainParameters, "numpy", build))
    own.create("plain")
    own.create("plain", threads=3)
    assert seen == [len(os.sched_getaffinity(0)), 3]
    with pytest.raises(ParameterError, match="threads"):
        own.create("plain", threads=-1)


def test_every_combination_reports_its_status() -> None:
    statuses = {(status.scheme, status.backend): status for status in registry.default().statuses()}
    assert {("paillier", "native"), ("paillier", "gmpy2"), ("plain", "numpy"), ("none", "numpy")} <= statuses.keys()
    for status in statuses.values():
        assert (status.obstacle is None) == (status.capabilities is not None)
        if status.capabilities is not None:
            assert status.capabilities.summary
            assert status.capabilities.trust.sentence
            assert (status.capabilities.security_bits >= 112) == status.capabilities.encrypts


def test_an_installed_package_adds_its_scheme_through_an_entry_point(tmp_path: Path) -> None:
    (tmp_path / "their_scheme.py").write_text(
        """
from dataclasses import dataclass
from typing import ClassVar
from he_core.params import PlainParameters
from he_core.registry import Registration
from he_core.schemes.uncovered import Plain

@dataclass(frozen=True)
class TheirParameters(PlainParameters):
    scheme: ClassVar[str] = "theirs"

def add(registry):
    registry.register(Registration(TheirParameters, "numpy", lambda parameters, threads: Plain(parameters)))
"""
    )
    metadata = tmp_path / "their_scheme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-scheme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[dcsfl.schemes]\ntheirs = their_scheme:add\n")
    script = """
import numpy as np
import he_core
scheme = he_core.create("theirs")
keys = scheme.generate_keys()
codec = he_core.Codec(16, 2, (3,), (1.0,))
aggregator = he_core.Aggregator(scheme, scheme.public_key(keys.public))
aggregator.open(0, codec.shape)
update = np.array([0.5, -0.25, 1.0], np.float32)
aggregator.add(he_core.Encryptor(scheme, scheme.public_key(keys.public)).encrypt(update, codec, round=0, client=0))
mean = he_core.Decryptor(scheme, scheme.secret_key(keys)).decrypt(aggregator.result(), codec, round=0)
print(scheme.name, np.abs(mean - update).max() < 1e-4)
"""
    paths = os.pathsep.join([str(tmp_path), str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "theirs True\n"
