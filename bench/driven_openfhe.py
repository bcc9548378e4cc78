"""OpenFHE driven directly, for `bench_peer_openfhe.py`: `python driven_openfhe.py bfv | ckks`.

Least parameters for additions at 128 bits, a public key, BV key switching, its calls for numpy arrays, binary
serialisation. BFV: N = 4,096, 16-bit codes in the coefficients, t = 786,433, room for eight addends. CKKS: N = 4,096,
depth 0, a first modulus of 60 bits, scale 2^40.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from importlib.metadata import version
from typing import Any

import numpy as np
import openfhe
from numpy.typing import NDArray

from driven import serve
from peer import Frames, Peer
from values import LIMIT

RING = 4_096
CODE_BITS, PLAIN_MODULUS, CLIENTS = 16, 786_433, 8
STEP = 2 * LIMIT / (2**CODE_BITS - 1)


class OpenFhe(Peer):
    """A plaintext of `chunk` values to a ciphertext."""

    chunk: int

    def __init__(self, parameters: Any) -> None:
        parameters.SetRingDim(RING)
        parameters.SetSecurityLevel(openfhe.SecurityLevel.HEStd_128_classic)
        parameters.SetMultiplicativeDepth(0)
        parameters.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.BV)
        self.context = openfhe.GenCryptoContext(parameters)
        self.context.Enable(openfhe.PKESchemeFeature.PKE)
        self.context.Enable(openfhe.PKESchemeFeature.LEVELEDSHE)
        self.keys = self.context.KeyGen()

    @abstractmethod
    def encode(self, values: NDArray[np.float32]) -> list[Any]: ...

    @abstractmethod
    def decode(self, plaintexts: list[Any]) -> NDArray[np.float64]:
        """The sum's mean, with what fills the last chunk."""

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        encrypted = (self.context.Encrypt(self.keys.publicKey, plain) for plain in self.encode(values))
        return [openfhe.Serialize(ciphertext, openfhe.BINARY) for ciphertext in encrypted]

    def start(self, received: Frames) -> list[Any]:
        return [openfhe.DeserializeCiphertextString(data, openfhe.BINARY) for data in received]

    def add(self, total: list[Any], received: Frames) -> list[Any]:
        for into, addend in zip(total, self.start(received), strict=True):
            self.context.EvalAddInPlace(into, addend)
        return total

    def finish(self, total: list[Any]) -> Frames:
        return [openfhe.Serialize(ciphertext, openfhe.BINARY) for ciphertext in total]

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        sums = [self.context.Decrypt(ciphertext, self.keys.secretKey) for ciphertext in self.start(received)]
        for plain in sums:
            plain.SetLength(self.chunk)
        return self.decode(sums)[:count].astype(np.float32)


class Bfv(OpenFhe):
    name = f"OpenFHE {version('openfhe')} BFV, N = {RING:,}"
    note = "128 bits; values in coefficients; sums of 8 clients"
    tolerance = 0.51 * STEP
    chunk = RING

    def __init__(self) -> None:
        parameters = openfhe.CCParamsBFVRNS()
        parameters.SetPlaintextModulus(PLAIN_MODULUS)
        parameters.SetEvalAddCount(CLIENTS)
        super().__init__(parameters)

    def encode(self, values: NDArray[np.float32]) -> list[Any]:
        codes = np.rint((np.clip(values, -LIMIT, LIMIT) + LIMIT) / STEP).astype(np.int64)
        chunks = (codes[start : start + RING] for start in range(0, len(codes), RING))
        return [self.context.MakeCoefPackedPlaintext(chunk) for chunk in chunks]

    def decode(self, plaintexts: list[Any]) -> NDArray[np.float64]:
        sums = np.concatenate([plain.GetCoefPackedValueArray() for plain in plaintexts])
        return (sums % PLAIN_MODULUS) * (STEP / self.addends) - LIMIT


class Ckks(OpenFhe):
    name = f"OpenFHE {version('openfhe')} CKKS, N = {RING:,}"
    note = "128 bits; depth 0, scale 2^40"
    tolerance = 1e-6
    chunk = RING // 2

    def __init__(self) -> None:
        parameters = openfhe.CCParamsCKKSRNS()
        parameters.SetScalingModSize(40)
        parameters.SetFirstModSize(60)
        parameters.SetScalingTechnique(openfhe.ScalingTechnique.FIXEDMANUAL)  # the default adds a modulus
        super().__init__(parameters)

    def encode(self, values: NDArray[np.float32]) -> list[Any]:
        wide = values.astype(np.float64)
        chunks = (wide[start : start + self.chunk] for start in range(0, len(wide), self.chunk))
        return [self.context.MakeCKKSPackedPlaintext(chunk) for chunk in chunks]

    def decode(self, plaintexts: list[Any]) -> NDArray[np.float64]:
        return np.concatenate([plain.GetRealPackedValueArray() for plain in plaintexts]) / self.addends


if __name__ == "__main__":
    serve({"bfv": Bfv, "ckks": Ckks}[sys.argv[1]])
