"""The kernels of `rlwe` in numba, with the functions of `he_core._native`: for installations without a C compiler.

Written without branches or addresses that depend on secrets, as far as numba lets one say so; not checked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from he_core.arith.coefficients_numba import pack_coefficients, unpack_coefficients
from he_core.arith.fields_numba import pack_fields, unpack_fields
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
    fields: NDArray[np.uint32],
    polynomials: NDArray[np.uint64],
    factor: NDArray[np.uint64],
    seed: bytes,
    domain: int,
    first_index: int,
    field_bits: int,
    fields_per_coefficient: int,
    dropped_bits: int,
) -> None:
    """Cover `fields`, uint32[n], packed to words, with polynomials times `factor` and fresh errors, into `out`."""
    count = -(-fields.size // fields_per_coefficient)
    words = np.empty(count, np.uint64)
    pack_fields(words[:, None].view(np.uint8), fields, field_bits, fields_per_coefficient, words.itemsize)
    masks = np.empty(polynomials.shape, np.uint64)
    multiply(masks, polynomials, factor)
    errors = np.empty(polynomials.shape, np.int8)
    for row in range(len(errors)):
        sample_gaussian(errors[row], seed, domain, first_index + row, "wide")
    plaintext_bits = field_bits * fields_per_coefficient
    cover(words, masks.reshape(-1)[:count], errors.reshape(-1)[:count], words, plaintext_bits, dropped_bits)
    pack_coefficients(out, words, 50 - dropped_bits)


def decrypt_polynomials(
    out: NDArray[np.uint32],
    sums: NDArray[np.uint64],
    polynomials: NDArray[np.uint64],
    factor: NDArray[np.uint64],
    field_bits: int,
    fields_per_coefficient: int,
    dropped_bits: int,
) -> None:
    """The fields of `sums`, uint64[m], once polynomials times `factor` are taken away, into `out`, uint32[n]."""
    masks = np.empty(polynomials.shape, np.uint64)
    multiply(masks, polynomials, factor)
    words = np.empty(sums.size, np.uint64)
    uncover(words, masks.reshape(-1)[: sums.size], sums, field_bits * fields_per_coefficient, dropped_bits)
    unpack_fields(out, words[:, None].view(np.uint8), field_bits, fields_per_coefficient, words.itemsize)
