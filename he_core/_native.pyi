"""Kernels in C, chosen once at import for this CPU and operating system. Absent where no compiler built them.

The environment variable DCSFL_CPU_TARGET, read at import, caps the choice: the fastest target that runs here
and is not faster than the one named. Any known name is allowed on any machine; another one raises RuntimeError.

Arrays are taken through the buffer protocol without a copy and must be C-contiguous. Functions on arrays release
the GIL, so callers may split work over threads. They are constant time in fields, keys, words and randomisers.
"""

from collections.abc import Buffer

def pack_fields(
    out: Buffer,
    fields: Buffer,
    field_bits: int,
    fields_per_word: int,
    word_bytes: int,
    *,
    target: str | None = None,
) -> None:
    """Pack `fields`, uint32[n], into `out`, uint8[ceil(n / fields_per_word), word_bytes].

    `target` names one of `targets()`; by default it is `target()`.
    Raises OverflowError if a field is 2**field_bits or more, and then `out` is all zeros; BufferError for an
    array of the wrong type or layout; ValueError for a wrong size, layout or target, or if the arrays share
    memory. After the last two nothing has been written.
    """

def unpack_fields(
    out: Buffer,
    words: Buffer,
    field_bits: int,
    fields_per_word: int,
    word_bytes: int,
    *,
    target: str | None = None,
) -> None:
    """Unpack `words`, uint8[ceil(n / fields_per_word), word_bytes], into `out`, uint32[n].

    Bits above a word's last field and fields from n on are ignored. Raises BufferError and ValueError as
    `pack_fields` does; nothing has been written then.
    """

def paillier_shape(modulus_bits: int, *, target: str | None = None) -> tuple[int, int, int, int, int]:
    """(limb_bits, limbs of n, limbs of p and of q, bytes of a limb in a table, entries a product) of a target.

    The last is about how many table entries are read in the time of one product, for choosing window_bits.
    The functions below take numbers as limbs of limb_bits bits in uint64, the lowest first. With L limbs and
    R = 2**(limb_bits * L), an element of Z_{n^2} is the 2 L limbs of x0, x1 < n with x = x0 + x1 n; a residue
    mod n is an element with x1 = 0. Constants are flat arrays of these (cext/bigint/paillier.h: what each is for):

        modulus  n; n + 1 - (R mod n); R - n; -1/n mod R                             4 L
        public   modulus of n; R, R^2, R^3 mod n^2                                  10 L
        p, q     modulus of the prime; R, .., R^5 mod p^2; q R, q R^2 mod p;
                 R s mod p for p, R s / p mod q for q                               20 L
        joint    -R / p mod q; R^2 / p^2, -R^2 / p^2, -R^3 / p^2 mod q^2; p^2       10 L

    where s = 1 / L((1 + n)**(p - 1) mod p^2), and for q the letters p and q are exchanged but in its last entry.
    Rows are little-endian: words of modulus_bits / 8 bytes, ciphertexts of modulus_bits / 4, randomisers of
    modulus_bits / 16. modulus_bits is a multiple of 256 in [2048, 8192], window_bits in [4, 8].

    All of them raise BufferError for an array of the wrong type or layout, ValueError for a wrong size or target or
    where `out` shares memory with an input; nothing has been written then.
    """

def paillier_table(
    out: Buffer, constants: Buffer, base: Buffer, modulus_bits: int, window_bits: int, *, target: str | None = None
) -> None:
    """Fill `out`, uint8[ceil(modulus_bits / 2 / window_bits), 3 L limb bytes << window_bits], with powers of h.

    `out` is aligned to 64 bytes. constants: those of the modulus, n or a prime, then R and R^2. base: h R, then the
    residue R / h. A table is for the target that made it.
    """

def paillier_encrypt(
    out: Buffer,
    words: Buffer,
    randomisers: Buffer,
    public: Buffer,
    table: Buffer,
    window_bits: int,
    *,
    target: str | None = None,
) -> None:
    """out[i] = (1 + words[i] n) h**randomisers[i] mod n^2, by the table of h mod n^2."""

def paillier_encrypt_with_factors(
    out: Buffer,
    words: Buffer,
    randomisers: Buffer,
    p: Buffer,
    q: Buffer,
    joint: Buffer,
    p_table: Buffer,
    q_table: Buffer,
    window_bits: int,
    *,
    target: str | None = None,
) -> None:
    """The same ciphertexts, by the tables of h mod p^2 and mod q^2."""

def paillier_add(out: Buffer, left: Buffer, right: Buffer, public: Buffer, *, target: str | None = None) -> None:
    """out[i] = left[i] right[i] mod n^2, in [0, n^2), of any two rows."""

def paillier_decrypt(
    out: Buffer, ciphertexts: Buffer, p: Buffer, q: Buffer, joint: Buffer, *, target: str | None = None
) -> None:
    """The words of ciphertexts that are units mod n^2."""

def paillier_first_outside(ciphertexts: Buffer, bound: Buffer) -> int | None:
    """Index of the first of ciphertexts, uint8[C, bytes], outside [1, bound), uint8[bytes]. Not constant time."""

def target() -> str:
    """The name of the target in use, such as "portable" or "avx2"."""

def targets() -> tuple[str, ...]:
    """The names of the targets that run here, slowest first."""
