"""What the worker process of `bfv` and `ckks` costs over OpenFHE in process: both in turn, a million values each.

Run under the Python that OpenFHE loads on (`make test` makes an environment for it): there both ways can be taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.slow
PYTHON = Path(sys.prefix) / "in-process" / "bin" / "python"
REPETITIONS = 7
_BOTH = """
import json, sys, time
from pathlib import Path
import numpy as np
from he_core import Codec
from he_core.arith.openfhe_backend import lattice as at
from he_core.arith.openfhe_backend.workers import Worker
from he_core.params import BfvParameters, CkksParameters
from he_core.schemes.bfv import Bfv
from he_core.schemes.ckks import Ckks

make, parameters = {"bfv": (Bfv, BfvParameters()), "ckks": (Ckks, CkksParameters())}[sys.argv[1]]
values, repetitions = int(sys.argv[2]), int(sys.argv[3])
callers = {"in process": at._here, "worker": Worker(Path(sys.executable)).call}
schemes = {way: make(parameters, at.OpenFheLattice([caller], parameters.moduli)) for way, caller in callers.items()}
keys = schemes["worker"].generate_keys()
codec = Codec(16, 8, (values,), (0.05,))
update = np.random.default_rng(1).uniform(-0.05, 0.05, values).astype(np.float32)
plaintext = schemes["worker"].plaintext(codec.shape)
numbers, _ = plaintext.quantise(codec, update, 1, None)
words = plaintext.pack(numbers)
seconds = {(way, step): [] for way in schemes for step in ("encrypt", "decrypt")}
for repetition in range(repetitions + 1):
    for way, scheme in schemes.items():
        public, secret = scheme.public_key(keys.public), scheme.secret_key(keys)
        start = time.perf_counter()
        ciphertext = scheme.encrypt(public, words, codec.shape, 0)
        encrypted = time.perf_counter()
        sums = scheme.decrypt(secret, ciphertext, 0)
        decrypted = time.perf_counter()
        if repetition:  # the first makes contexts
            seconds[way, "encrypt"].append(encrypted - start)
            seconds[way, "decrypt"].append(decrypted - encrypted)
        mean = plaintext.dequantise(codec, plaintext.unpack(sums, values), 1, 1)
        assert np.abs(mean - update).max() <= 0.51 * codec.steps[0]
json.dump({" ".join(name): sorted(taken) for name, taken in seconds.items()}, sys.stdout)
"""


@pytest.mark.skipif(not PYTHON.exists(), reason="no Python here that OpenFHE loads on; make test looks for one")
@pytest.mark.parametrize("scheme", ["bfv", "ckks"])
def test_worker_against_in_process(
    benchmark: BenchmarkFixture, record: Callable[..., None], scheme: str, timed: bool
) -> None:
    """The script checks every decrypted vector, and takes the times."""
    values, repetitions = (1_000_000, REPETITIONS) if timed else (10_000, 1)
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"  # meson, for the extension
    command = [PYTHON, "-c", _BOTH, scheme, str(values), str(repetitions)]

    def both() -> dict[str, list[float]]:
        run = subprocess.run(
            command,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(run.stdout)

    seconds = benchmark.pedantic(both, rounds=1, iterations=1)
    assert all(taken and min(taken) > 0 for taken in seconds.values())
    record(values, group="worker beside in process", who=scheme, what="both, with set-up", parts=seconds)
