"""Which kernels the engine runs on, chosen once: those of `he_core._native` (C), or numba's where it is not built.

Both give the same results, bit for bit. Arrays are C-contiguous, aligned and of the sizes that the functions' own
documentation gives (`he_core/_native.pyi`); the classes that call them see to that.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray


class FieldKernels(Protocol):
    """Fields side by side in words: `he_core._native` or `he_core.arith.fields_numba`."""

    def pack_fields(
        self,
        out: NDArray[np.uint8],
        fields: NDArray[np.uint32],
        field_bits: int,
        fields_per_word: int,
        word_bytes: int,
        /,
    ) -> None:
        """Fill `out`. Raises OverflowError if a field is 2**field_bits or more; `out` is zeros then."""
        ...

    def unpack_fields(
        self,
        out: NDArray[np.uint32],
        words: NDArray[np.uint8],
        field_bits: int,
        fields_per_word: int,
        word_bytes: int,
        /,
    ) -> None:
        """Fill `out`."""
        ...


class CoefficientKernels(Protocol):
    """Ciphertext coefficients to and from bytes: `he_core._native` or `he_core.arith.coefficients_numba`."""

    def pack_coefficients(self, out: NDArray[np.uint8], words: NDArray[np.uint64], width: int, /) -> None:
        """Fill `out`. Raises ValueError if a word is 2**width or more; `out` is zeros then."""
        ...

    def unpack_coefficients(
        self, out: NDArray[np.uint64], packed: NDArray[np.uint8], width: int, limit: int, /
    ) -> None:
        """Fill `out`. Raises OverflowError(message, index) at `limit` or more, ValueError for set padding bits."""
        ...


class ChecksumKernels(Protocol):
    """The checksum of verified sums: `he_core._native` or `he_core.arith.checksum_numba`."""

    def checksum(self, point: NDArray[np.uint8], fields: NDArray[np.uint32], field_bits: int, /) -> int:
        """The polynomial of `fields` at `point`, uint8[16], mod 2**61 - 1."""
        ...


class CodecKernels(Protocol):
    """Values to fields and back: `he_core._native` or `he_core.arith.codec_numba`."""

    def quantise(
        self,
        out: NDArray[np.uint32],
        values: NDArray[np.float32],
        segment_lengths: NDArray[np.uint64],
        scales: NDArray[np.float64],
        max_code: int,
        offset: int,
        noise: NDArray[np.float64] | None = None,
        /,
    ) -> tuple[int, int, int]:
        """Fill `out`, with zeros if a value is not finite; returns (saturated, non_finite, first_non_finite)."""
        ...

    def dequantise(
        self,
        out: NDArray[np.float32],
        sums: NDArray[np.uint32],
        segment_lengths: NDArray[np.uint64],
        scales: NDArray[np.float64],
        bias: int,
        /,
    ) -> None:
        """Fill `out`."""
        ...


class RlweKernels(CoefficientKernels, Protocol):
    """Polynomials and vectors of `rlwe`: `he_core._native` or `he_core.arith.rlwe_numba`.

    Polynomials are uint64[N] or uint64[L, N] in [0, q); seeds are 32 bytes.
    """

    def expand_uniform(self, out: NDArray[np.uint64], seed: bytes, domain: int, first_index: int, /) -> None: ...
    def sample_gaussian(self, out: NDArray[np.int8], seed: bytes, domain: int, index: int, width: str, /) -> None: ...
    def forward(self, polynomials: NDArray[np.uint64], /) -> None: ...
    def inverse(self, polynomials: NDArray[np.uint64], /) -> None: ...
    def multiply(
        self, out: NDArray[np.uint64], transformed: NDArray[np.uint64], factor: NDArray[np.uint64], /
    ) -> None: ...
    def cover(
        self,
        out: NDArray[np.uint64],
        mask: NDArray[np.uint64],
        errors: NDArray[np.int8],
        words: NDArray[np.uint64],
        plaintext_bits: int,
        dropped_bits: int,
        /,
    ) -> None: ...
    def uncover(
        self,
        out: NDArray[np.uint64],
        mask: NDArray[np.uint64],
        sums: NDArray[np.uint64],
        plaintext_bits: int,
        dropped_bits: int,
        /,
    ) -> None: ...
    def reduce(self, words: NDArray[np.uint64], dropped_bits: int, /) -> None: ...
    def encrypt_polynomials(
        self,
        out: NDArray[np.uint8],
        fields: NDArray[np.uint32],
        polynomials: NDArray[np.uint64],
        factor: NDArray[np.uint64],
        seed: bytes,
        domain: int,
        first_index: int,
        field_bits: int,
        fields_per_coefficient: int,
        dropped_bits: int,
        /,
    ) -> None: ...
    def decrypt_polynomials(
        self,
        out: NDArray[np.uint32],
        sums: NDArray[np.uint64],
        polynomials: NDArray[np.uint64],
        factor: NDArray[np.uint64],
        field_bits: int,
        fields_per_coefficient: int,
        dropped_bits: int,
        /,
    ) -> None: ...


@dataclass(frozen=True)
class Kernels:
    """One set of kernels: modules that hold the functions. target: instruction set, such as "avx2", or "numba"."""

    target: str
    fields: FieldKernels
    coefficients: CoefficientKernels
    checksum: ChecksumKernels
    codec: CodecKernels
    rlwe: RlweKernels


def native_module() -> Any:
    """The extension itself, for arithmetic that has no other kernels. Raises ModuleNotFoundError if not built."""
    return importlib.import_module("he_core._native")


def native() -> Kernels:
    """The C kernels. Raises ModuleNotFoundError where they were not built."""
    module = native_module()
    return Kernels(
        target=module.target(),
        fields=cast(FieldKernels, module),
        coefficients=cast(CoefficientKernels, module),
        checksum=cast(ChecksumKernels, module),
        codec=cast(CodecKernels, module),
        rlwe=cast(RlweKernels, module),
    )


def portable() -> Kernels:
    """The numba kernels."""
    return Kernels(
        target="numba",
        fields=cast(FieldKernels, importlib.import_module("he_core.arith.fields_numba")),
        coefficients=cast(CoefficientKernels, importlib.import_module("he_core.arith.coefficients_numba")),
        checksum=cast(ChecksumKernels, importlib.import_module("he_core.arith.checksum_numba")),
        codec=cast(CodecKernels, importlib.import_module("he_core.arith.codec_numba")),
        rlwe=cast(RlweKernels, importlib.import_module("he_core.arith.rlwe_numba")),
    )


def choose_kernels() -> Kernels:
    """The C kernels if they were built, else the numba ones with a RuntimeWarning that says so.

    A warning and not a log record: it is shown without any logging set up, once per process, and whoever
    requires the fast path can turn it into an error.
    """
    try:
        return native()
    except ModuleNotFoundError:  # not built; an extension that is there but does not load is an error
        warnings.warn(
            "he_core._native is not built: the engine runs on gmpy2 and numba, which are slower. "
            "Reinstall dcsfl with a C compiler and Python's headers for the C kernels",
            RuntimeWarning,
            stacklevel=2,
        )
        return portable()


KERNELS = choose_kernels()


def kernel_target() -> str:
    """Which kernels are in use: the C target that was chosen for this machine, such as "avx2", or "numba"."""
    return KERNELS.target
