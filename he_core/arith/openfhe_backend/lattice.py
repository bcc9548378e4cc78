"""OpenFHE as schemes use it: keys and vectors of any length as residues, in this process or at workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from he_core.arith.openfhe_backend import interpreter, library
from he_core.arith.openfhe_backend.library import Call, Numbers, Residues
from he_core.arith.openfhe_backend.workers import Worker
from he_core.arith.threads import Threads
from he_core.errors import LibraryError

CHUNKS_A_CALL = 64  # 2 MiB of residues at degree 2,048: a tenth of a second of work
Caller = Callable[[str, dict[str, Any], list[NDArray[Any]]], Call]


@dataclass(frozen=True)
class LatticeContext:
    """What a context of OpenFHE is made from.

    encoding: "coefficients" (BFV) or "slots" (CKKS). precision_bits: log2 of t, or of the scale. addends: the most of
    a sum.
    """

    encoding: str
    degree: int
    security_bits: int
    modulus_bits: int
    precision_bits: int
    addends: int


class OpenFheLattice:
    """Encryption and decryption of numbers [chunks, degree] by OpenFHE, `threads` calls at a time.

    Its Python functions hold the GIL, so only workers run side by side.
    """

    name = "openfhe"

    def __init__(self, callers: list[Caller], modulus: int) -> None:
        self._callers = callers
        self._modulus = modulus
        self._threads = Threads(len(callers), "openfhe")
        self._opened: set[LatticeContext] = set()
        self.conversion_ns = 0
        """Nanoseconds so far that calls spent between numpy's arrays and OpenFHE's objects."""

    def start(self, context: LatticeContext) -> None:
        """Start what computes and make the context, where that is not done yet.

        Raises LibraryError where OpenFHE refuses it or has another modulus, WorkerStartError.
        """
        if context in self._opened:
            return
        for caller in self._callers:
            [[modulus]], _ = caller("open", asdict(context), [])
            if modulus != self._modulus:
                raise LibraryError("open", f"the modulus is {modulus}, where frames have {self._modulus}")
        self._opened.add(context)

    def generate_keys(self, context: LatticeContext) -> tuple[Residues, Residues]:
        """public uint64[2, degree], secret uint64[1, degree]."""
        self.start(context)
        [public, secret], _ = self._callers[0]("generate_keys", asdict(context), [])
        return public, secret

    def encrypt(self, context: LatticeContext, public: Residues, numbers: Numbers) -> Residues:
        """uint64[chunks, 2, degree]."""
        out = np.empty((len(numbers), 2, context.degree), np.uint64)
        self._split("encrypt", context, public, numbers, out)
        return out

    def decrypt(self, context: LatticeContext, secret: Residues, residues: Residues, out: Numbers) -> None:
        """Numbers [chunks, degree] from uint64[chunks, 2, degree], each below q."""
        self._split("decrypt", context, secret, residues, out)

    def _split(
        self, name: str, context: LatticeContext, key: Residues, rows: NDArray[Any], out: NDArray[Any]
    ) -> None:
        self.start(context)
        literal = asdict(context)
        free, spent = list(self._callers), []

        def work(part: slice) -> None:
            caller = free.pop()
            for start in range(part.start, part.stop, CHUNKS_A_CALL):
                piece = slice(start, min(start + CHUNKS_A_CALL, part.stop))
                [out[piece]], conversion_ns = caller(name, literal, [key, rows[piece]])
                spent.append(conversion_ns)

        sharers = min(len(free), len(rows))
        self._threads.split(len(rows), work)
        self.conversion_ns += sum(spent) // sharers


def obstacle() -> str | None:
    """None where OpenFHE can run, else what to install."""
    return interpreter.place().obstacle


def lattice(modulus: int, threads: int) -> OpenFheLattice:
    """OpenFHE in this process where it imports, else at `threads` workers."""
    python = interpreter.place().python
    callers: list[Caller] = [_here] if python is None else [Worker(python).call for _ in range(threads)]
    return OpenFheLattice(callers, modulus)


def _here(name: str, context: dict[str, Any], arrays: list[NDArray[Any]]) -> Call:
    try:
        return library.call(name, context, arrays)
    except library.FAILURES as error:
        raise LibraryError(name, str(error)) from None
