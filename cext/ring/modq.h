/*
 * Arithmetic mod q on 64-bit words, in plain C11: what the tables and the portable kernels are made of.
 *
 * Products by a known w use its quotient (V. Shoup, NTL; D. Harvey, "Faster arithmetic for number-theoretic
 * transforms", J. Symb. Comp. 60, 2014): v w - floor(v w' / 2^64) q with w' close to w 2^64 / q takes three
 * multiplications and no division. q has 50 bits, so words leave 14 bits for lazy sums.
 */
#ifndef DCSFL_RING_MODQ_H
#define DCSFL_RING_MODQ_H

#include "../wide.h"
#include "ring.h"

#define DCSFL_MODQ_RECIPROCAL UINT64_C(0x8208208208206101) /* floor(2^113 / q) */

/* value + modulus if value, in two's complement, is negative, else value. */
static inline uint64_t dcsfl_add_if_negative(uint64_t value, uint64_t modulus) {
    return value + (modulus & (0 - (value >> 63)));
}

/* v mod q for v in [0, 2q). */
static inline uint64_t dcsfl_modq_once(uint64_t v) {
    return dcsfl_add_if_negative(v - DCSFL_Q, DCSFL_Q);
}

/*
 * The quotient of w in [0, q): more than w 2^64 / q - 4 and at most that. With M = 2^113 / q - f, 0 <= f < 1, the
 * product w 2^14 M / 2^64 falls short of w 2^63 / q by w f / 2^50 < 1, its floor by less than 2; doubled, 4.
 */
static inline uint64_t dcsfl_modq_quotient(uint64_t w) {
    return dcsfl_mulhi64(w << 14, DCSFL_MODQ_RECIPROCAL) << 1;
}

/*
 * v w mod q up to a multiple of q, in [0, 2q), for w in [0, q) and either
 *   any v and the exact quotient floor(w 2^64 / q), which the tables hold:
 *   v w / q - floor(v w' / 2^64) < 1 + v / 2^64;
 *   or v < 2^62 and dcsfl_modq_quotient(w), for which that is below 1 + 4 v / 2^64.
 * The difference of the low words is exact, as it is small.
 */
static inline uint64_t dcsfl_modq_mul_lazy(uint64_t v, uint64_t w, uint64_t quotient) {
    return v * w - dcsfl_mulhi64(v, quotient) * DCSFL_Q;
}

/* v w mod q in [0, q), for the same. */
static inline uint64_t dcsfl_modq_mul(uint64_t v, uint64_t w, uint64_t quotient) {
    return dcsfl_modq_once(dcsfl_modq_mul_lazy(v, w, quotient));
}

#endif
