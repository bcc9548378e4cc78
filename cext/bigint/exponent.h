/* Powers in Z_{n^2}: of one base by a table (encryption), and of many bases with one exponent (decryption). */
#ifndef DCSFL_EXPONENT_H
#define DCSFL_EXPONENT_H

#include "bigint.h"

/*
 * Radix-2^window_bits digits of an exponent select one precomputed power each, without a squaring (Brickell, Gordon,
 * McCurley, Wilson, EUROCRYPT '92, with every multiple stored): entry d of row i is base^(d * 2^(window_bits * i)), as a
 * fixed factor (y0, y', v) of bigint.h.
 */
struct dcsfl_fixed_base {
    size_t digits; /* rows */
    unsigned window_bits;
    const uint8_t *rows; /* [digits][dcsfl_fixed_base_row_bytes()], aligned */
};

static inline size_t dcsfl_fixed_base_digits(size_t exponent_bits, unsigned window_bits) {
    return (exponent_bits + window_bits - 1) / window_bits;
}

static inline size_t dcsfl_fixed_base_row_bytes(const struct dcsfl_bigint_kernels *kernels, size_t limbs,
                                                unsigned window_bits) {
    return dcsfl_row_bytes(kernels, 3 * limbs, window_bits);
}

/* Words of one running product, all lanes: a state of bigint.h. */
static inline size_t dcsfl_state_words(const struct dcsfl_bigint_kernels *kernels, size_t limbs) {
    return 3 * limbs * kernels->lanes;
}

/* Elements of workspace that dcsfl_fixed_base_build takes beside scratch. */
#define DCSFL_BUILD_ELEMENTS (8 + 3 * DCSFL_PUT_ENTRIES / 2)

/* What a table is made from, one lane of each. */
struct dcsfl_base {
    const uint64_t *base;    /* [2 * L] base * R mod n^2, an element */
    const uint64_t *inverse; /* [L] R / base mod n */
    const uint64_t *one;     /* [L] R mod n */
    const uint64_t *shift;   /* [L + 2] floor(R^2 / n) */
};

/* Fill `rows` for `digits` digits. */
void dcsfl_fixed_base_build(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *workspace, uint8_t *rows, size_t digits, unsigned window_bits,
                            const struct dcsfl_base *base);

/* Elements: what `pick` fills at once, for kernels of one lane. */
#define DCSFL_FIXED_POWER_ELEMENTS 8

/*
 * states[ceil(count / lanes)] <- base^exponent mod n^2, exponents[count][exponent_bytes] little-endian and secret. Lanes
 * past the last get 1. workspace: DCSFL_FIXED_POWER_ELEMENTS and scratch.
 */
void dcsfl_fixed_base_power(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *workspace, uint64_t *states, const struct dcsfl_fixed_base *table,
                            const uint8_t *exponents, size_t exponent_bytes, size_t count);

/* Elements of workspace that dcsfl_power takes beside scratch. */
#define DCSFL_POWER_ELEMENTS 33

/*
 * element <- element^exponent / R^(exponent - 1) mod n^2, every lane: a power in Montgomery form. exponent[L], one lane,
 * secret, of at most exponent_bits bits, which are public. one: a lane of R mod n^2.
 */
void dcsfl_power(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus, uint64_t *workspace,
                 uint64_t *element, const uint64_t *exponent, size_t exponent_bits, const uint64_t *one);

#endif
