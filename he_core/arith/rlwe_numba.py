"""The kernels of `rlwe` in numba, with the functions of `he_core._native`: for installations without a C compiler.

Written without branches or addresses that depend on secrets, as far as numba lets one say so; not checked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from he_core.arith.coefficients_numba import pack_coefficients, unpack_coefficients
from he_core.arith.ring_numba import cover, forward, inverse, multiply, reduce, uncover
from he_core.arith.sample_numba import chacha20, expand_uniform, sample_gaussian

__all__ = [
    "chacha20",
    "cover",
    "decrypt_polynomials",
    "encrypt_polynomials",
    "expand_uniform",
    "forward",
    "inverse",
    "multiply",
    "pack_coefficients",
    "reduce",
    "sample_gaussian",
    "uncover",
    "unpack_coefficients",
]


def encrypt_polynomials(
    out: NDArray[np.uint8],
    words: NDArray[np.uint64],
    polynomials: NDArray[np.uint64],
    factor: NDArray[np.uint64],
    seed: bytes,
    domain: int,
    first_index: int,
    plaintext_bits: int,
    dropped_bits: int,
) -> None:
    """Cover `words`, uint64[n], with polynomials times `factor` and fresh errors, and pack the result into `out`."""
    masks = np.empty(polynomials.shape, np.uint64)
    multiply(masks, polynomials, factor)
    errors = np.empty(polynomials.shape, np.int8)
    for row in range(len(errors)):
        sample_gaussian(errors[row], seed, domain, first_index + row, "wide")
    covered = np.empty(words.size, np.uint64)
    count = words.size
    cover(covered, masks.reshape(-1)[:count], errors.reshape(-1)[:count], words, plaintext_bits, dropped_bits)
    pack_coefficients(out, covered, 50 - dropped_bits)


def decrypt_polynomials(
    out: NDArray[np.uint64],
    sums: NDArray[np.uint64],
    polynomials: NDArray[np.uint64],
    factor: NDArray[np.uint64],
    plaintext_bits: int,
    dropped_bits: int,
) -> None:
    """The words of `sums`, uint64[n], once polynomials times `factor` are taken away, into `out`, uint64[n]."""
    masks = np.empty(polynomials.shape, np.uint64)
    multiply(masks, polynomials, factor)
    uncover(out, masks.reshape(-1)[: sums.size], sums, plaintext_bits, dropped_bits)
