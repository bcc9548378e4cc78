"""python-paillier (`phe`) under a key of 3,072 bits: a value per ciphertext, as its users do, and packed.

It gets a fixed precision, so that its exponents agree and its additions are single multiplications, and gmpy2, which
it uses where installed. Packed by its user: 16-bit codes in fields of 24 bits, 127 to an integer, so that sums of up
to 256 updates fit. A ciphertext travels as the bytes of its integer.
"""

from __future__ import annotations

import numpy as np
import phe
import pytest
from numpy.typing import NDArray
from phe.util import HAVE_GMP

from he_core import create
from peer import Frames, Peer
from peers import PeerSuite
from values import LIMIT

BITS = 3_072
PRECISION = 2.0**-20
CODE_BITS, FIELD_BYTES = 16, 3
VALUES_A_CIPHERTEXT = (BITS - 2) // (8 * FIELD_BYTES)  # phe keeps a third of the numbers for overflow
STEP = 2 * LIMIT / (2**CODE_BITS - 1)


@pytest.fixture(scope="module")
def private() -> phe.PaillierPrivateKey:
    """Primes from this project, which finds them faster than phe does."""
    assert HAVE_GMP, "phe runs without gmpy2 here: no comparison"
    scheme = create("paillier", parameters={"modulus_bits": BITS})
    key = scheme.secret_key(scheme.generate_keys())
    return phe.PaillierPrivateKey(phe.PaillierPublicKey(key.public.n), key.p, key.q)


class Phe(Peer):
    """What both ways share: encrypted numbers on the wire."""

    note = "128 bits"

    def __init__(self, private: phe.PaillierPrivateKey, exponent: int) -> None:
        self.private, self.public, self.exponent = private, private.public_key, exponent

    def to_bytes(self, numbers: list[phe.EncryptedNumber]) -> Frames:
        return [number.ciphertext().to_bytes(2 * BITS // 8, "little") for number in numbers]

    def start(self, received: Frames) -> list[phe.EncryptedNumber]:
        ciphertexts = (int.from_bytes(data, "little") for data in received)
        return [phe.EncryptedNumber(self.public, ciphertext, self.exponent) for ciphertext in ciphertexts]

    def add(self, total: list[phe.EncryptedNumber], received: Frames) -> list[phe.EncryptedNumber]:
        return [left + right for left, right in zip(total, self.start(received), strict=True)]

    def finish(self, total: list[phe.EncryptedNumber]) -> Frames:
        return self.to_bytes(total)


class ValuePerCiphertext(Phe):
    name = f"phe {phe.__version__}, a value per ciphertext"
    tolerance = PRECISION
    least = 3

    def __init__(self, private: phe.PaillierPrivateKey) -> None:
        super().__init__(private, phe.EncodedNumber.encode(private.public_key, 0.0, PRECISION).exponent)

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        return self.to_bytes([self.public.encrypt(float(value), precision=PRECISION) for value in values])

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        return np.array([self.private.decrypt(number) / self.addends for number in self.start(received)], np.float32)


class PackedByItsUser(Phe):
    name = f"phe {phe.__version__}, packed by its user"
    tolerance = 0.51 * STEP
    least = VALUES_A_CIPHERTEXT  # each takes as long

    def __init__(self, private: phe.PaillierPrivateKey) -> None:
        super().__init__(private, 0)

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        codes = np.rint((np.clip(values, -LIMIT, LIMIT) + LIMIT) / STEP).astype("<u4")
        fields = codes.view(np.uint8).reshape(-1, 4)[:, :FIELD_BYTES]
        chunks = (fields[start : start + VALUES_A_CIPHERTEXT] for start in range(0, len(fields), VALUES_A_CIPHERTEXT))
        return self.to_bytes([self.public.encrypt(int.from_bytes(chunk.tobytes(), "little")) for chunk in chunks])

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        size = VALUES_A_CIPHERTEXT * FIELD_BYTES
        data = b"".join(self.private.decrypt(number).to_bytes(size, "little") for number in self.start(received))
        fields = np.frombuffer(data, np.uint8).reshape(-1, FIELD_BYTES)
        sums = np.pad(fields, ((0, 0), (0, 4 - FIELD_BYTES))).view("<u4").reshape(-1)[:count]
        return (sums * (STEP / self.addends) - LIMIT).astype(np.float32)


class TestValuePerCiphertext(PeerSuite):
    @pytest.fixture(scope="class")
    def peer(self, private: phe.PaillierPrivateKey) -> Peer:
        return ValuePerCiphertext(private)


class TestPackedByItsUser(PeerSuite):
    @pytest.fixture(scope="class")
    def peer(self, private: phe.PaillierPrivateKey) -> Peer:
        return PackedByItsUser(private)
