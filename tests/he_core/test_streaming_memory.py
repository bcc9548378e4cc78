"""The server's memory does not grow with the number of clients: 64 contributions of ten million values, one sum.

The server is a process of its own and the contributions come through a pipe. What is read is the kernel's high-water
mark of its resident memory: before the round, after a few contributions, after all, and with the sum's frame.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from he_core import Codec, Decryptor, Encryptor, SecretBundle, frame, keystore, registry
from he_core.scheme import Scheme

CLIENTS = 64
VALUES = 10_000_000
FEW = 4
# In decoded ciphertexts: the sum, the contribution added to it and that one's frame; `plain` adds into a new array.
MOST_CIPHERTEXTS = {"rlwe": 3, "plain": 4}
SLACK_BYTES = 8 << 20  # the allocator's, and what Python keeps of 64 headers
FRAME_LENGTH = struct.Struct("<Q")

SERVER = """
import json, struct, sys
from pathlib import Path
from he_core import Aggregator, frame, keystore, registry

name, backend, key_file, few = sys.argv[1:]
scheme = registry.create(name, backend, threads=1)
key = scheme.public_key(keystore.load_public(Path(key_file)))

def peak_bytes():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

def received():
    while length := sys.stdin.buffer.read(8):
        yield sys.stdin.buffer.read(struct.unpack("<Q", length)[0])

def sum_of(frames, marks=None):
    aggregator = Aggregator(scheme, key)
    for count, data in enumerate(frames, 1):
        if count == 1:
            aggregator.open(1, frame.parse(data).header.shape)
        aggregator.add(data)
        del data
        if marks is not None and count in (int(few), 64):
            marks.append(peak_bytes())
    return aggregator.result()

frames = received()
sum_of([next(frames)])  # a small one: first uses of everything are behind us
marks = [peak_bytes()]
total = sum_of(frames, marks)
marks.append(peak_bytes())
sys.stdout.buffer.write(json.dumps(marks).encode() + b"\\n" + total)
"""


def _codec(values: int) -> Codec:
    return Codec(bits=16, k_max=CLIENTS, lengths=(values,), limits=(0.05,))


def _served(command: list[str], frames: Iterator[bytes]) -> tuple[list[int], bytes]:
    """The server's marks and its sum, of `frames` sent one after the other."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdin is not None
        try:
            for data in frames:
                server.stdin.write(FRAME_LENGTH.pack(len(data)))
                server.stdin.write(data)
        except BrokenPipeError:
            pass  # its message says why
        output, errors = server.communicate()
    assert server.returncode == 0, errors.decode()
    marks, _, total = output.partition(b"\n")
    return json.loads(marks), total


def _decoded_bytes(scheme: Scheme, keys: SecretBundle, contribution: bytes) -> int:
    """Size of one contribution's ciphertext in memory."""
    payload = frame.parse(contribution).payload
    ciphertext = scheme.parse(scheme.public_key(keys.public), payload, _codec(VALUES).shape)
    return int(getattr(ciphertext, "coefficients", ciphertext).nbytes)


@pytest.mark.slow
@pytest.mark.parametrize("name", MOST_CIPHERTEXTS)
def test_a_sum_of_64_clients_takes_the_memory_of_a_sum_of_few(name: str, tmp_path: Path) -> None:
    here = [status for status in registry.default().statuses() if status.scheme == name and status.obstacle is None]
    if not here:
        pytest.skip(f"scheme {name!r} is not registered, or cannot run here")
    scheme = registry.create(name, here[0].backend, threads=1)
    keys = scheme.generate_keys()
    keystore.save_public(tmp_path / "public.json", keys.public)
    encryptor = Encryptor(scheme, scheme.secret_key(keys))
    random = np.random.default_rng(1)
    updates = [random.uniform(-0.05, 0.05, VALUES).astype(np.float32) for _ in range(FEW)]

    def frames() -> Iterator[bytes]:
        yield encryptor.encrypt(updates[0][:1000], _codec(1000), round=1, client=0)
        for client in range(CLIENTS):
            yield encryptor.encrypt(updates[client % FEW], _codec(VALUES), round=1, client=client)

    arguments = [name, here[0].backend, str(tmp_path / "public.json"), str(FEW)]
    marks, total = _served([sys.executable, "-c", SERVER, *arguments], frames())

    mean = Decryptor(scheme, scheme.secret_key(keys)).decrypt(total, _codec(VALUES), round=1)
    step = _codec(VALUES).steps[0]
    np.testing.assert_allclose(mean, np.mean(updates, axis=0), rtol=0, atol=0.51 * step)
    before, after_few, after_all, with_frame = marks
    one = _decoded_bytes(scheme, keys, encryptor.encrypt(updates[0], _codec(VALUES), round=1, client=0))
    grown, with_sum = (after_all - before) / one, (with_frame - before) / one
    print(f"{name}: a ciphertext is {one:,} bytes; grew by {grown:.2f} of them, {with_sum:.2f} with the sum's frame")
    assert after_all - after_few <= SLACK_BYTES
    assert with_frame - before <= MOST_CIPHERTEXTS[name] * one
