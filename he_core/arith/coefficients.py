"""Ciphertext coefficients from bytes that came from outside: unpacked, and each in its range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from he_core.arith.kernels import CoefficientKernels
from he_core.errors import CiphertextRangeError


def unpack_below(
    kernels: CoefficientKernels,
    out: NDArray[np.uint64],
    packed: NDArray[np.uint8],
    width: int,
    limit: int,
    first: int = 0,
) -> None:
    """Fill `out` with coefficients of `width` bits, each in [0, limit).

    Raises CiphertextRangeError for one out of range, whose index counts from `first`, or bits set after the last.
    """
    try:
        kernels.unpack_coefficients(out, packed, width, limit)
    except OverflowError as error:
        raise CiphertextRangeError(first + error.args[1], f"is not below its modulus, {limit}") from None
    except ValueError:
        raise CiphertextRangeError(first + out.size, "bits are set after the last coefficient") from None
