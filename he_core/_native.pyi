"""Kernels in C, chosen once at import for this CPU and operating system. Absent where no compiler built them.

The environment variable DCSFL_CPU_TARGET, read at import, caps the choice: the fastest target that runs here
and is not faster than the one named. Any known name is allowed on any machine; another one raises RuntimeError.

Arrays are taken through the buffer protocol without a copy and must be C-contiguous. The functions that take
some release the GIL, so callers may split work over threads. They are constant time in what the arrays hold, but for
whether some value is out of range; `expand_uniform` and the functions on packed coefficients, all of them public,
are not.

A stream is ChaCha20 (RFC 8439) under a 32-byte seed, its nonce a 32-bit domain followed by a 64-bit index, both
little-endian; blocks of 64 bytes are counted from 0. Every target makes the same of a stream.

The functions on polynomials, `forward` to `decrypt_polynomials`, work in Z_q[X]/(X^N + 1), q = 63 * 2**44 + 1, for N
a power of two in [32, 4096]; tables of a degree are made at its first use and kept.
"""

from collections.abc import Buffer
from typing import Literal

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

def chacha20(
    out: Buffer,
    seed: Buffer,
    domain: int,
    index: int,
    first_block: int,
    *,
    target: str | None = None,
) -> None:
    """Fill `out`, uint8[64 * blocks], with the stream of `seed`, uint8[32], from block `first_block` on.

    Raises BufferError for an array of the wrong type or layout; ValueError for a wrong size or target, for a domain,
    index or block out of range, or if the arrays share memory. Nothing has been written then.
    """

def sample_gaussian(
    out: Buffer,
    seed: Buffer,
    domain: int,
    index: int,
    width: Literal["narrow", "wide"],
    *,
    target: str | None = None,
) -> None:
    """Fill `out`, int8[n], n a multiple of 64, with discrete Gaussians in [-63, 63] from the stream of `seed`.

    `width`: "narrow" for sigma 4.5, "wide" for 4.5 * sqrt(2). A sample's statistical distance from the ideal is
    below 2^-67 for both. n samples take 9 * n bytes of the stream from block 0 on, which are wiped before the return.
    Raises as `chacha20` does, and ValueError for another width.
    """

def map_gaussian(
    out: Buffer,
    stream: Buffer,
    width: Literal["narrow", "wide"],
    *,
    target: str | None = None,
) -> None:
    """Map `stream`, uint8[9 * n], to `out`, int8[n]: `sample_gaussian` without the stream's expansion.

    Raises as `sample_gaussian` does.
    """

def expand_uniform(
    out: Buffer,
    seed: Buffer,
    domain: int,
    first_index: int,
    *,
    target: str | None = None,
) -> None:
    """Fill row j of `out`, uint64[L, N], with uniform residues mod q = 63 * 2^44 + 1 from stream first_index + j.

    They are the stream's 64-bit little-endian words cut to their low 50 bits, those of q or more left out.
    Not constant time. Raises as `chacha20` does; N is at most 2^32.
    """

def forward(poly: Buffer, *, target: str | None = None) -> None:
    """Transform `poly`, uint64[N] or uint64[L, N] of values in [0, q), in place; all come out in [0, q).

    Entry i becomes poly(psi**(2 * r(i) + 1)), r(i) the reversal of i's log2(N) bits and psi = 11**((q - 1) / 2N).
    Raises BufferError for an array of the wrong type or layout; ValueError for a value of q or more, or a wrong
    degree or target. Nothing has been written then.
    """

def inverse(poly: Buffer, *, target: str | None = None) -> None:
    """The inverse of `forward`, division by N included, in place. Raises as `forward` does."""

def multiply(out: Buffer, transformed: Buffer, factor: Buffer, *, target: str | None = None) -> None:
    """Multiply transformed polynomials and transform back: a negacyclic product each, into `out`, uint64[L, N].

    `transformed`: uint64[L, N], `factor`: uint64[N], made ready once for all L; both in [0, q), and so is `out`.
    Raises BufferError for an array of the wrong type or layout; ValueError for a value of q or more, a wrong shape,
    degree or target, or if `out` shares memory with another array. Nothing has been written then.
    """

def cover(
    out: Buffer,
    mask: Buffer,
    errors: Buffer,
    words: Buffer,
    plaintext_bits: int,
    dropped_bits: int,
    *,
    target: str | None = None,
) -> None:
    """Cover `words`, uint64[n] in [0, 2**plaintext_bits), with `mask`, uint64[n] in [0, q), and `errors`, int8[n].

    b = (mask + errors + words * 63 * 2**(44 - plaintext_bits) + half) mod q and `out`, uint64[n], becomes
    (b >> dropped_bits) mod Q', where half = 2**(dropped_bits - 1) and Q' = 63 * 2**(44 - dropped_bits), or 0 and q
    for dropped_bits = 0. plaintext_bits + dropped_bits <= 44. `out` may be `words` or `mask` itself.
    Raises BufferError for an array of the wrong type or layout; ValueError for a value out of range, a wrong size,
    width or target, or arrays that share memory otherwise. Nothing has been written then.
    """

def uncover(
    out: Buffer,
    mask: Buffer,
    sums: Buffer,
    plaintext_bits: int,
    dropped_bits: int,
    *,
    target: str | None = None,
) -> None:
    """The inverse of `cover` on `sums`, any uint64[n], with the sum of the masks mod q as `mask`, uint64[n].

    rounded = ((mask + half) mod q) >> dropped_bits, difference = (sums - rounded) mod Q' and `out`, uint64[n],
    becomes (difference + D // 2) // D mod 2**plaintext_bits, D = 63 * 2**(44 - dropped_bits - plaintext_bits).
    `out` may be `sums` or `mask` itself. Raises as `cover` does.
    """

def reduce(words: Buffer, dropped_bits: int, *, target: str | None = None) -> None:
    """Reduce `words`, any uint64[n], in place to [0, Q') (`cover`).

    Raises BufferError for an array of the wrong type or layout; ValueError for a wrong width or target.
    """

def encrypt_polynomials(
    out: Buffer,
    fields: Buffer,
    polynomials: Buffer,
    factor: Buffer,
    seed: Buffer,
    domain: int,
    first_index: int,
    field_bits: int,
    fields_per_coefficient: int,
    dropped_bits: int,
    *,
    target: str | None = None,
) -> None:
    """Encrypt `fields`, uint32[n] in [0, 2**field_bits), into `out`, uint8[ceil(m * (50 - dropped_bits) / 8)].

    `pack_fields` to m = ceil(n / fields_per_coefficient) words of 8 bytes, `multiply`, `cover` and
    `pack_coefficients` in one, a polynomial at a time: row j of `polynomials`, uint64[ceil(m / N), N], times
    `factor`, uint64[N], covers words j * N to (j + 1) * N - 1, together with the first N wide Gaussians of the stream
    (`seed`, `domain`, first_index + j). `polynomials` and `factor` are transformed, in [0, q); N is a multiple of 64;
    field_bits is in [1, 32] and field_bits * fields_per_coefficient + dropped_bits <= 44; what the last row has too
    much goes unused.
    Raises OverflowError for a field of 2**field_bits or more; BufferError for an array of the wrong type or layout;
    ValueError for a wrong size, degree, width or target, for another value, a domain or an index out of range, or if
    `out` shares memory with another array; MemoryError. Nothing has been written then, but zeros for a value out of
    range.
    """

def decrypt_polynomials(
    out: Buffer,
    sums: Buffer,
    polynomials: Buffer,
    factor: Buffer,
    field_bits: int,
    fields_per_coefficient: int,
    dropped_bits: int,
    *,
    target: str | None = None,
) -> None:
    """Uncover `sums`, any uint64[m], and unpack the words to `out`, uint32[n]; m = ceil(n / fields_per_coefficient).

    `multiply`, `uncover` and `unpack_fields` in one: the masks are rows of `polynomials` times `factor` as in
    `encrypt_polynomials`; `factor` belongs to a sum of ciphertexts, so it is the sum of their factors mod q. Raises
    as `encrypt_polynomials` does.
    """

def pack_coefficients(out: Buffer, words: Buffer, width: int, *, target: str | None = None) -> None:
    """Pack `words`, uint64[n], each in [0, 2**width), into `out`, uint8[ceil(n * width / 8)]; 1 <= width <= 56.

    A little-endian bit stream without gaps; padding bits are zero.
    Raises ValueError if a word is 2**width or more, and then `out` is all zeros; BufferError for an array of the
    wrong type or layout; ValueError for a wrong size, width or target, or if the arrays share memory. After the
    last two nothing has been written.
    """

def unpack_coefficients(out: Buffer, packed: Buffer, width: int, limit: int, *, target: str | None = None) -> None:
    """Unpack `packed`, uint8[ceil(n * width / 8)], into `out`, uint64[n], each in [0, limit).

    1 <= width <= 56 and 1 <= limit <= 2**width. Raises OverflowError(message, index) for the first coefficient of
    `limit` or more, and then `out` holds the coefficients before that index and nothing of meaning from there on;
    ValueError if padding bits are set; BufferError and ValueError as `pack_coefficients` does. In all cases but the
    first nothing has been written.
    """

def checksum(point: Buffer, fields: Buffer, field_bits: int, *, target: str | None = None) -> int:
    """The polynomial of `fields`, uint32[n], each in [0, 2**field_bits), at a point mod p = 2**61 - 1: in [0, p).

    Coefficient j, counted from 0, is multiplied by x**(j + 1), x the little-endian integer `point`, uint8[16], mod p.
    Up to 29 bits it is fields[2 j] + 2**32 * fields[2 j + 1], above that fields[j]. Raises BufferError for an array
    of the wrong type or layout; ValueError for a point of another size, a width outside [1, 32] or a wrong target.
    """

def quantise(
    out: Buffer,
    values: Buffer,
    segment_lengths: Buffer,
    scales: Buffer,
    max_code: int,
    offset: int,
    noise: Buffer | None = None,
    *,
    target: str | None = None,
) -> tuple[int, int, int]:
    """Scale, round and clip `values`, float32[n], to offset-binary fields in `out`, uint32[n].

    Segment s takes the next segment_lengths[s] values: `out` is round(value * scales[s]), a product in double
    rounded to nearest, ties to even, clipped to [-max_code, max_code], plus `offset`. With `noise`, float64[n], each
    in [0, 1], it is floor(value * scale + noise) instead.
    segment_lengths: uint64[S], adding up to n. scales: float64[S], each in [2**-200, 2**124].
    1 <= max_code <= offset <= 2**24.

    Returns (saturated, non_finite, first_non_finite): how many values were clipped, how many are NaN or infinite,
    and the index of the first of these, or n. If there is one, nothing has been written.
    Raises BufferError for an array of the wrong type or layout; ValueError for a wrong size, code, scale or target,
    or if `out` shares memory with another array. Nothing has been written then.
    """

def dequantise(
    out: Buffer,
    sums: Buffer,
    segment_lengths: Buffer,
    scales: Buffer,
    bias: int,
    *,
    target: str | None = None,
) -> None:
    """Turn sums of fields, uint32[n], into `out`, float32[n]: (sum - bias) * scales[s], in double, then rounded.

    segment_lengths: as in `quantise`. scales: float64[S], each in [2**-200, 2**200]. 0 <= bias < 2**32.
    Raises BufferError and ValueError as `quantise` does; nothing has been written then.
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

    `out` is aligned to 64 bytes. constants: those of the modulus, n or a prime, then R mod n and, in L + 2 limbs,
    floor(R^2 / n). base: h R, then R / h mod n in L limbs. A table is for the target that made it.
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
