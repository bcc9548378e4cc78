"""ckks: sums of real numbers by OpenFHE's CKKS, two values to a complex slot.

Cheon, Kim, Kim, Song, ASIACRYPT 2017, in the RNS variant of OpenFHE, at multiplicative depth 0. Values are divided
by their segment's clip limit, so that numbers are in [-1, 1] and precision follows each tensor's range; one prime q
of 50 bits, of which a sum of K_max needs log2(K_max) + 2, leaves a scale of 2^(48 - ceil(log2 K_max)).

Secure against chosen-plaintext attacks under decisional RLWE (ternary secret). Decrypted values carry noise that
depends on the secret key: whoever sees many of them, not rounded, may learn about the key (Li, Micciancio, EUROCRYPT
2021). Here only holders of the key decrypt; do not hand raw decryptions to anybody else. For the same noise, and as
OpenFHE's flooding is not for it, it has no threshold keys (docs/openfhe.md). Malleable by design.
"""

from __future__ import annotations

import numpy as np

from he_core.arith.openfhe_backend.lattice import LatticeContext
from he_core.codec import FLOAT32_ROUNDOFF, Codec, CodecShape
from he_core.packing import BoundedReals
from he_core.schemes.residues import ResidueScheme, check_addends

SCALE_BITS = 48
"""log2 of the scale times K_max. A coefficient of a message of complex slots in the unit square is at most sqrt(2)
times the scale; K_max of them and the noise stay below q / 2."""

NOISE_BITS = 17
"""log2 of a bound on what noise adds to a value of a mean, in units of the scale: 24 standard deviations of one
contribution's at N = 2,048 and 12 at 4,096. One is 3.19 sqrt(4 N / 3 + 1) sqrt(N / 2), of errors and ternary secrets,
and was measured so (docs/openfhe.md, Precision); a mean of several has less."""


class Ckks(ResidueScheme):
    """`ckks`, a plaintext word of 64 bits to half a slot."""

    summary = "CKKS of OpenFHE: not exact, 1e-8 of the clip limit, 100 bits a value"
    number = np.dtype("<f8")
    exact = False

    def plaintext(self, shape: CodecShape) -> BoundedReals:
        check_addends(shape)
        return BoundedReals()

    def mean_error(self, codec: Codec) -> float:
        precision_bits = self.context(codec.shape).precision_bits
        return 2.0 ** (NOISE_BITS - precision_bits) + FLOAT32_ROUNDOFF

    def context(self, shape: CodecShape) -> LatticeContext:
        check_addends(shape)
        guard_bits = (shape.k_max - 1).bit_length()
        return LatticeContext(
            encoding="slots",
            degree=self.parameters.degree,
            security_bits=self.parameters.security_bits,
            modulus_bits=self.parameters.MODULUS_BITS,
            precision_bits=SCALE_BITS - guard_bits,
            addends=1 << guard_bits,
        )
