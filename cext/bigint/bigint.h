/*
 * Products modulo n^2 for odd n, many at once: what Paillier spends its time on.
 *
 * Numbers. A limb holds `limb_bits` bits in a uint64_t. Kernels work on `lanes` numbers at a time: limb j of lane l
 * of an array lies at [j * lanes + l]. L limbs hold a number below R = 2^(limb_bits * L).
 *
 * n-adic form. An element x of Z_{n^2} is a pair (x0, x1) with x = x0 + x1 * n mod n^2: an array of 2 * L limbs,
 * x0 first. Neither need be below n, so an element has several forms.
 * Multiplying so costs three products and two reductions of the size of n, five in all; a Montgomery product of the
 * size of n^2 costs the like of eight.
 *
 * Product. R >= 4096 n (dcsfl_limbs_for). Let x0 y0 <= n R / 4 and x0 y1 + x1 y0 <= 3 n R / 4, for one x0, x1, y0, y1
 * < 16 n. Then with
 *   m  = -x0 * y0 / n mod R, in [0, R);           z0 = (x0 * y0 + m * n) / R           exact; so x0 * y0 = R z0 - m n
 *   u  = x0 * y1 + x1 * y0 + (K - m)              K the least multiple of n that is >= R; R <= K < R + n
 *   m' = -u / n mod R;                            z1 = (u + m' * n) / R                exact
 * x * y = x0 y0 + (x0 y1 + x1 y0) n = R z0 + n (x0 y1 + x1 y0 - m) = R (z0 + z1 n) mod n^2, since K n and m' n^2 are
 * 0 mod n^2. Hence (z0, z1) is x y / R, the Montgomery product mod n^2.
 *   z0 < 1.25 n                                   z1 < (3 n R / 4 + n + R + R n) / R < 1.75 n + 2 < 2 n
 * K - m is kept non-negative limb by limb: K - m = (K - R + 1) + (R - 1 - m), the first being `lift`, in [1, n], the
 * second the complement of each limb of m.
 * The left factor may instead be (c, 0) with any c < R if both halves of the right one are below n: then z0 < 2 n and
 * z1 < 2 n + 2. That is how a number enters: c = sum of c_i R^i, each (c_i, 0) times R^(i+2) mod n^2, added up.
 *
 * Fixed factors. A product by a factor known beforehand takes three half products twice, three in all. With
 * x = x0 (1 + s n) + w n for the running product and y = y0 (1 + v n) for the factor, 0 <= y0, v < n,
 * y' = floor(y0 R / n) or 1 less:
 *   q  = floor(x0 y' / R) or up to 1 less         r  = x0 y0 - q n      from its low half, as 0 <= r < 1.01 n < R
 *   q2 = the same of w                            r2 = w y0 - q2 n
 * x y = x0 y0 (1 + (s + v) n) + w y0 n = r (1 + (s + v) n) + (r2 + q) n mod n^2, so
 *   x0 <- r < 1.01 n        w <- r2 + q + n < 4 n        s <- s + v
 * x0 y' / R is at most x0 y0 / n, and less by 2 x0 / R at most, which is below 2^-9 as x0, w < 4 n. What products of limbs
 * add up to below the weight R / B is left out, B = 2^limb_bits, which takes off or adds less than 2 L / B, and where it
 * may add, as much is taken off so that q is never too large. Where q* = x0 y0 / n < 0.01, q may so become -1, that is
 * R - 1 mod R: that leaves r right mod R, and the n in w keeps it positive. q* - q < 1.01 gives the bound on r;
 * q <= x0 y0 / n < x0 that on w.
 * (The quotient from a precomputed floor is Shoup's trick, as in NTL; s keeps apart what is linear.)
 *
 * Everything here is constant time in the numbers, the moduli and the digits; sizes are public.
 */
#ifndef DCSFL_BIGINT_H
#define DCSFL_BIGINT_H

#include <stddef.h>
#include <stdint.h>

#define DCSFL_BIGINT_MAX_LANES 8
#define DCSFL_BIGINT_ALIGNMENT 64 /* of every array of lanes, scratch and table, in bytes */
#define DCSFL_BIGINT_SLACK_BITS 12
#define DCSFL_BIGINT_MAX_PICKS 32
#define DCSFL_PUT_ENTRIES 16
#define DCSFL_MIN_WINDOW_BITS 4
#define DCSFL_MAX_WINDOW_BITS 8

/* Constants of one modulus, one lane of each, [L]. */
struct dcsfl_modulus {
    size_t limbs;             /* L >= 16 */
    const uint64_t *n;        /* odd */
    const uint64_t *lift;     /* n + 1 - (R mod n) */
    const uint64_t *negative; /* R - n */
    const uint64_t *inverse;  /* -1 / n mod R */
};

/* out <- left * right / R, as above; `out` may be either factor. scratch: dcsfl_scratch_words(). */
typedef void dcsfl_nadic_multiply_fn(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out,
                                     const uint64_t *left, const uint64_t *right);

/* out <- factor * factor / R. */
typedef void dcsfl_nadic_square_fn(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out,
                                   const uint64_t *factor);

/* out[L] <- left[L] * right[L] / R mod n, below 1.25 n, for left * right <= n R / 4: z0 alone. `out` may be a factor. */
typedef void dcsfl_multiply_residues_fn(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out,
                                        const uint64_t *left, const uint64_t *right);

/*
 * state <- state * factor, by a fixed factor as above. state[3 * L]: x0, w, s; factor[3 * L]: y0, y', v. The limbs of s
 * are sums that a target may leave without carries; after at most 1,024 factors they are below 2^63 all the same, and s
 * below R / 2.
 */
typedef void dcsfl_advance_fn(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *state,
                              const uint64_t *factor);

/*
 * out[factor_limbs + constant_limbs] <- addend + factor * constant, on plain numbers. `constant` is one lane, the same
 * for all. addend_limbs <= factor_limbs + constant_limbs; the result must fit. No overlap.
 * scratch: of dcsfl_scratch_words(), for factor_limbs + 2 * constant_limbs <= 10 * L.
 */
typedef void dcsfl_multiply_add_fn(uint64_t *scratch, uint64_t *out, const uint64_t *factor, size_t factor_limbs,
                                   const uint64_t *constant, size_t constant_limbs, const uint64_t *addend,
                                   size_t addend_limbs);

/*
 * A row of a table holds 2^window_bits numbers of `limbs` limbs, entry_bytes each, in an order of the target's own.
 * `put` writes DCSFL_PUT_ENTRIES entries from entry first_entry on: that lane of numbers[DCSFL_PUT_ENTRIES] arrays
 * [limbs * lanes]. `pick` fills out[picks / lanes] such arrays, lane l with entry digits[l], l < picks, reading the whole
 * row whatever the digits are; digits < 2^window_bits.
 */
typedef void dcsfl_table_put_fn(uint8_t *row, size_t limbs, unsigned window_bits, size_t first_entry,
                                const uint64_t *numbers, size_t lane);
typedef void dcsfl_table_pick_fn(uint64_t *out, const uint8_t *row, size_t limbs, unsigned window_bits,
                                 const uint8_t *digits);

/* out[words] <- table[index][words], index < entries, reading every entry. words a multiple of lanes. */
typedef void dcsfl_scan_fn(uint64_t *out, const uint64_t *table, size_t words, size_t entries, uint32_t index);

struct dcsfl_bigint_kernels {
    unsigned limb_bits;
    unsigned lanes;
    unsigned picks;       /* look-ups that `pick` makes at once, a multiple of lanes */
    unsigned entry_bytes; /* of a limb in a table */
    unsigned entries_a_product; /* about as many entries are read in the time of one `advance`: for choosing windows */
    dcsfl_nadic_multiply_fn *multiply;
    dcsfl_nadic_square_fn *square;
    dcsfl_multiply_residues_fn *multiply_residues;
    dcsfl_advance_fn *advance;
    dcsfl_multiply_add_fn *multiply_add;
    dcsfl_table_put_fn *put;
    dcsfl_table_pick_fn *pick;
    dcsfl_scan_fn *scan;
};

/* Limbs for numbers mod an n of that many bits, so that R >= 4096 n. */
static inline size_t dcsfl_limbs_for(const struct dcsfl_bigint_kernels *kernels, size_t bits) {
    return (bits + DCSFL_BIGINT_SLACK_BITS + kernels->limb_bits - 1) / kernels->limb_bits;
}

/* Words of an element, all lanes. */
static inline size_t dcsfl_element_words(const struct dcsfl_bigint_kernels *kernels, size_t limbs) {
    return 2 * limbs * kernels->lanes;
}

static inline size_t dcsfl_scratch_words(const struct dcsfl_bigint_kernels *kernels, size_t limbs) {
    return (10 * limbs + 96) * kernels->lanes;
}

/* Bytes of a table row. */
static inline size_t dcsfl_row_bytes(const struct dcsfl_bigint_kernels *kernels, size_t limbs, unsigned window_bits) {
    return kernels->entry_bytes * limbs << window_bits;
}

extern const struct dcsfl_bigint_kernels dcsfl_bigint_words; /* in plain C11 */
extern const struct dcsfl_bigint_kernels dcsfl_bigint_sse2;  /* x86-64 builds, where it runs everywhere */
extern const struct dcsfl_bigint_kernels dcsfl_bigint_avx2;       /* requires DCSFL_CPU_AVX2 */
extern const struct dcsfl_bigint_kernels dcsfl_bigint_avx512ifma; /* requires DCSFL_CPU_AVX512_IFMA */

#endif
