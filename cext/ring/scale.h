/*
 * cover, uncover and reduce, one coefficient at a time: the portable kernels, and the rest that a vector kernel
 * leaves over. Also what the kernels of one target share across files.
 *
 * Negative values are two's complement in uint64_t. Widths are public, so what is chosen by them may branch.
 */
#ifndef DCSFL_RING_SCALE_H
#define DCSFL_RING_SCALE_H

#include "../verify.h"
#include "modq.h"

/* What a scale fixes. */
struct dcsfl_ring_steps {
    unsigned lift;         /* a word's coefficient is word 63 << lift */
    unsigned drop;         /* dropped_bits */
    unsigned step_shift;   /* D = 63 << step_shift */
    unsigned modulus_shift; /* Q' = 63 << modulus_shift where bits are dropped */
    uint64_t half;         /* half a unit of what is kept, 0 where nothing is dropped */
    uint64_t modulus;      /* Q' */
    uint64_t word_mask;    /* 2^plaintext_bits - 1 */
};

static inline struct dcsfl_ring_steps dcsfl_ring_steps(unsigned plaintext_bits, unsigned dropped_bits) {
    struct dcsfl_ring_steps steps;

    DCSFL_VERIFY(plaintext_bits <= 44 && dropped_bits <= 44 - plaintext_bits);
    steps.lift = 44 - plaintext_bits;
    steps.drop = dropped_bits;
    steps.step_shift = 44 - plaintext_bits - dropped_bits;
    steps.modulus_shift = 44 - dropped_bits;
    steps.half = dropped_bits == 0 ? 0 : UINT64_C(1) << (dropped_bits - 1);
    steps.modulus = dropped_bits == 0 ? DCSFL_Q : UINT64_C(63) << steps.modulus_shift;
    steps.word_mask = (UINT64_C(1) << plaintext_bits) - 1;
    return steps;
}

#define DCSFL_RECIPROCAL32_63 UINT64_C(68174085)           /* ceil(2^32 / 63) = (2^32 + 59) / 63 */
#define DCSFL_RECIPROCAL69_63 UINT64_C(0x8208208208208209) /* ceil(2^69 / 63) = (2^69 + 55) / 63 */

/*
 * h mod 63 for any h: 64 is 1 mod 63, so digits of 30 bits, then of 18, may be added: below 2^34 + 2^30, then
 * x < 2^17 + 2^18. With x = 63 c + r, x (2^32 + 59) / 63 = c 2^32 + (r 2^32 + 59 x) / 63, whose second term is
 * below 2^32 as 59 x < 2^32; that term times 63 is r 2^32 + 59 x (D. Lemire, O. Kaser, N. Kurz, "Faster remainder
 * by direct computation", 2019).
 */
static inline uint64_t dcsfl_mod63(uint64_t h) {
    h = (h & ((UINT64_C(1) << 30) - 1)) + (h >> 30);
    h = (h & ((UINT64_C(1) << 18) - 1)) + (h >> 18);
    return (h * DCSFL_RECIPROCAL32_63 & UINT32_MAX) * 63 >> 32;
}

/* s mod Q', any s. With bits dropped, s = h 2^k + l and Q' = 63 2^k: only h is reduced. */
static inline uint64_t dcsfl_ring_reduce_dropped(const struct dcsfl_ring_steps *steps, uint64_t s) {
    const uint64_t low_mask = (UINT64_C(1) << steps->modulus_shift) - 1;
    return (dcsfl_mod63(s >> steps->modulus_shift) << steps->modulus_shift) + (s & low_mask);
}

/*
 * s mod q, any s. With s = h 2^44 + l, h = 63 c + r < 2^20: s - c q = r 2^44 + l - c, which is below 63 2^44 and at
 * least -c > -2^15. c is exact: h (2^32 + 59) / 63 = c 2^32 + (r 2^32 + 59 h) / 63, the second term below 2^32.
 */
static inline uint64_t dcsfl_ring_reduce_whole(uint64_t s) {
    const uint64_t h = s >> 44, c = h * DCSFL_RECIPROCAL32_63 >> 32, r = h - 63 * c;
    return dcsfl_add_if_negative((r << 44) + (s & ((UINT64_C(1) << 44) - 1)) - c, DCSFL_Q);
}

static inline uint64_t dcsfl_ring_reduce_one(const struct dcsfl_ring_steps *steps, uint64_t s) {
    return steps->drop == 0 ? dcsfl_ring_reduce_whole(s) : dcsfl_ring_reduce_dropped(steps, s);
}

/*
 * One covered coefficient. With S = 63 2^lift the step of a word, the sum less q lies in [-q - 128, q + 62]: it is
 * at most (q - 1) + (q - 1 - S) + 127 + half - q, and half = 0 with S >= 63, or 126 half <= S with S >= 126.
 */
static inline uint64_t dcsfl_ring_cover_one(const struct dcsfl_ring_steps *steps, uint64_t mask, int8_t error,
                                            uint64_t word) {
    uint64_t b = mask + (uint64_t)(int64_t)error + (((word << 6) - word) << steps->lift) + steps->half - DCSFL_Q;

    b = dcsfl_add_if_negative(b, DCSFL_Q); /* [-128, q + 62] */
    b = dcsfl_add_if_negative(b, DCSFL_Q); /* [0, q + 62] */
    b = dcsfl_modq_once(b);
    if (steps->drop != 0) /* of [0, q) only q - 1 = 63 2^44 drops to Q', and is to become 0 */
        b &= (((b ^ (DCSFL_Q - 1)) - 1) >> 63) - 1;
    return b >> steps->drop;
}

/* ((mask + half) mod q) >> dropped_bits, in [0, Q']. */
static inline uint64_t dcsfl_ring_round_mask(const struct dcsfl_ring_steps *steps, uint64_t mask) {
    return dcsfl_modq_once(mask + steps->half) >> steps->drop;
}

/*
 * One uncovered word. floor(y / D) = floor((y >> step_shift) / 63), and the quotient z of a shift is below
 * 63 2^44 + 32 < 2^51, where z (2^69 + 55) / 63 / 2^69 has the floor of z / 63, as 55 z < 2^69
 * (T. Granlund, P. Montgomery, "Division by invariant integers using multiplication", PLDI 1994).
 */
static inline uint64_t dcsfl_ring_uncover_one(const struct dcsfl_ring_steps *steps, uint64_t mask, uint64_t sum) {
    const uint64_t difference = dcsfl_add_if_negative(
        dcsfl_ring_reduce_one(steps, sum) - dcsfl_ring_round_mask(steps, mask), steps->modulus);
    const uint64_t z = (difference + ((UINT64_C(63) << steps->step_shift) >> 1)) >> steps->step_shift;

    return (dcsfl_mulhi64(z, DCSFL_RECIPROCAL69_63) >> 5) & steps->word_mask;
}

/* The vector kernels of the files scale_*.c, for the tables of ring_*.c. */
dcsfl_ring_cover_fn dcsfl_ring_cover_portable, dcsfl_ring_cover_avx2, dcsfl_ring_cover_avx512ifma;
dcsfl_ring_uncover_fn dcsfl_ring_uncover_portable, dcsfl_ring_uncover_avx2, dcsfl_ring_uncover_avx512ifma;
dcsfl_ring_reduce_fn dcsfl_ring_reduce_portable, dcsfl_ring_reduce_avx2, dcsfl_ring_reduce_avx512ifma;

#endif
