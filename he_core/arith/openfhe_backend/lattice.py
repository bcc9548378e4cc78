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

    encoding: "coefficients" (BFV), "coefficients-together" (BFV for a threshold group) or "slots" (CKKS).
    precision_bits: log2 of t, or of the scale. addends: the most of a sum.
    """

    encoding: str
    degree: int
    security_bits: int
    modulus_bits: int
    precision_bits: int
    addends: int


class OpenFheLattice:
    """Encryption and decryption of numbers [chunks, degree] by OpenFHE, `threads` calls at a time.

    Its Python functions hold the GIL, so only workers run side by side. A polynomial is L rows of residues, one for
    each prime of the modulus.
    """

    name = "openfhe"

    def __init__(self, callers: list[Caller], moduli: tuple[int, ...]) -> None:
        self._callers = callers
        self._moduli = moduli
        self._threads = Threads(len(callers), "openfhe")
        self._opened: set[LatticeContext] = set()
        self.conversion_ns = 0
        """Nanoseconds so far that calls spent between numpy's arrays and OpenFHE's objects."""

    def start(self, context: LatticeContext) -> None:
        """Start what computes and make the context, where that is not done yet.

        Raises LibraryError where OpenFHE refuses it or has other primes, WorkerStartError.
        """
        if context in self._opened:
            return
        for caller in self._callers:
            [moduli], _ = caller("open", asdict(context), [])
            if tuple(moduli.tolist()) != self._moduli:
                raise LibraryError("open", f"the moduli are {moduli.tolist()}, where frames have {self._moduli}")
        self._opened.add(context)

    def generate_keys(self, context: LatticeContext) -> tuple[Residues, Residues]:
        """public uint64[2 L, degree], secret uint64[L, degree]."""
        self.start(context)
        [public, secret], _ = self._callers[0]("generate_keys", asdict(context), [])
        return public, secret

    def encrypt(self, context: LatticeContext, public: Residues, numbers: Numbers) -> Residues:
        """uint64[chunks, 2 L, degree]."""
        out = np.empty((len(numbers), 2 * len(self._moduli), context.degree), np.uint64)
        self._split("encrypt", context, [public], numbers, out)
        return out

    def decrypt(self, context: LatticeContext, secret: Residues, residues: Residues, out: Numbers) -> None:
        """Numbers [chunks, degree] from uint64[chunks, 2 L, degree], each below its prime."""
        self._split("decrypt", context, [secret], residues, out)

    # --- a threshold group's

    def join(self, context: LatticeContext, a: Residues) -> tuple[Residues, Residues]:
        """A client's b and its secret under the group's a: uint64[L, degree] each."""
        self.start(context)
        [public, secret], _ = self._callers[0]("join", asdict(context), [a])
        return public, secret

    def partial(self, context: LatticeContext, secret: Residues, factors: Residues) -> Residues:
        """secret times each of uint64[chunks, L, degree], with noise; the same shape."""
        out = np.empty_like(factors)
        self._split("partial", context, [secret], factors, out)
        return out

    def fuse(self, context: LatticeContext, sums: Residues, out: Numbers) -> None:
        """Numbers [chunks, degree] from c0 and all parts together, uint64[chunks, L, degree]."""
        self._split("fuse", context, [], sums, out)

    def _split(
        self, name: str, context: LatticeContext, keys: list[Residues], rows: NDArray[Any], out: NDArray[Any]
    ) -> None:
        self.start(context)
        literal = asdict(context)
        free, spent = list(self._callers), []

        def work(part: slice) -> None:
            caller = free.pop()
            for start in range(part.start, part.stop, CHUNKS_A_CALL):
                piece = slice(start, min(start + CHUNKS_A_CALL, part.stop))
                [out[piece]], conversion_ns = caller(name, literal, [*keys, rows[piece]])
                spent.append(conversion_ns)

        sharers = min(len(free), len(rows))
        self._threads.split(len(rows), work)
        self.conversion_ns += sum(spent) // sharers


def obstacle() -> str | None:
    """None where OpenFHE can run, else what to install."""
    return interpreter.place().obstacle


def lattice(moduli: tuple[int, ...], threads: int) -> OpenFheLattice:
    """OpenFHE in this process where it imports, else at `threads` workers."""
    python = interpreter.place().python
    callers: list[Caller] = [_here] if python is None else [Worker(python).call for _ in range(threads)]
    return OpenFheLattice(callers, moduli)


def _here(name: str, context: dict[str, Any], arrays: list[NDArray[Any]]) -> Call:
    try:
        return library.call(name, context, arrays)
    except library.FAILURES as error:
        raise LibraryError(name, str(error)) from None
