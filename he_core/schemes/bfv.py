"""bfv: exact sums of integers by OpenFHE's BFV, packed in coefficients.

Fan, Vercauteren, eprint 2012/144, in the RNS variant of OpenFHE, at multiplicative depth 0. The plaintext modulus t
is a power of two that holds one or more fields; slots would need a prime. One prime q of 50 bits and N = 2,048 (4,096
for 192 and 256 bits of security) is the smallest ring that leaves t room.

Secure against chosen-plaintext attacks under decisional RLWE (ternary secret). Malleable by design: it does not
protect against a server that alters a ciphertext, nor against any holder of the shared secret key.
"""

from __future__ import annotations

import numpy as np

from he_core.arith.fields import FieldLayout
from he_core.arith.openfhe_backend.lattice import LatticeContext
from he_core.codec import CodecShape
from he_core.errors import RingTooSmallError
from he_core.packing import PackedFields
from he_core.schemes.residues import MAX_ADDENDS, ResidueScheme, check_addends

PLAINTEXT_BITS = 24
"""The most of log2 t that OpenFHE's noise estimate admits under a 50-bit q at depth 0 and MAX_ADDENDS additions."""


class Bfv(ResidueScheme):
    """`bfv`, a plaintext word of 32 bits to a coefficient."""

    summary = "BFV of OpenFHE: exact, a reference library's, about 100 bits a value at 16 bits and 8 clients"
    number = np.dtype("<u4")
    exact = True

    def plaintext(self, shape: CodecShape) -> PackedFields:
        check_addends(shape)
        if shape.field_bits > PLAINTEXT_BITS:
            raise RingTooSmallError(
                "bits",
                shape.bits,
                f"with k_max={shape.k_max} a field takes {shape.field_bits} bits and a coefficient of the ring holds "
                f"{PLAINTEXT_BITS}; lower either, or take rlwe",
            )
        return PackedFields(FieldLayout(shape.field_bits, PLAINTEXT_BITS // shape.field_bits, self.number.itemsize))

    def context(self, shape: CodecShape) -> LatticeContext:
        layout = self.plaintext(shape).layout
        return LatticeContext(
            encoding="coefficients",
            degree=self.parameters.degree,
            security_bits=self.parameters.security_bits,
            modulus_bits=self.parameters.MODULUS_BITS,
            precision_bits=layout.field_bits * layout.fields_per_word,
            addends=MAX_ADDENDS,
        )
