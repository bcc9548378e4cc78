/*
 * Products mod n^2 with SSE2, which every x86-64 processor has: the portable target there. A product of two 29-bit limbs
 * is one pmuludq of two lanes; a sum of 63 of them is below 2^64.
 */
#include "bigint.h"

#ifdef __SSE2__

#include <emmintrin.h>

#include "limbs.h"

#define LANES 2 /* one vector */
#define LIMB_BITS 29
#define MAX_LIMBS 283
#define TILE 8
#define CARRY_EVERY 60

typedef __m128i vector;
typedef vector limb;
typedef vector sum;

static inline limb limb_set(uint64_t value) {
    return _mm_set1_epi64x((long long)value);
}

static inline limb limb_add(limb a, limb b) {
    return _mm_add_epi64(a, b);
}

static inline sum sum_zero(void) {
    return _mm_setzero_si128();
}

static inline sum sum_from(limb value) {
    return value;
}

static inline sum sum_add(sum a, sum b) {
    return _mm_add_epi64(a, b);
}

static inline sum sum_add_product(sum s, limb a, limb b) {
    return _mm_add_epi64(s, _mm_mul_epu32(a, b));
}

static inline limb limb_complement(limb a) {
    return _mm_xor_si128(a, limb_set((UINT64_C(1) << LIMB_BITS) - 1));
}

static inline limb sum_limb(sum s) {
    return _mm_and_si128(s, limb_set((UINT64_C(1) << LIMB_BITS) - 1));
}

static inline sum sum_carry(sum s) {
    return _mm_srli_epi64(s, LIMB_BITS);
}

/* The instruction takes the low 32 bits of its factors. */
static inline limb sum_quotient(sum s, limb inverse) {
    return sum_limb(_mm_mul_epu32(s, inverse));
}

#include "lanes_columns.h"

/* --- tables: four limbs of every entry, 32 bits each, then the next four; what limbs are left, one after the other -- */

#define PICKS 8 /* look-ups that share a load of every entry */
#define STRIP 4 /* limbs: a register */

/* Where limb j of the entries is, the first entry's, and how far the next entry's is from it. */
static inline size_t place(size_t limbs, size_t j, unsigned window_bits, size_t *step) {
    const size_t in_strips = limbs - limbs % STRIP;

    *step = j < in_strips ? STRIP : 1;
    return j < in_strips ? ((j - j % STRIP) << window_bits) + j % STRIP : j << window_bits;
}

static void put(uint8_t *row, size_t limbs, unsigned window_bits, size_t first_entry, const uint64_t *numbers,
                size_t lane) {
    uint32_t *table = (uint32_t *)(void *)row;

    for (size_t j = 0; j < limbs; j++) {
        size_t step;
        uint32_t *out = table + place(limbs, j, window_bits, &step);
        for (size_t entry = 0; entry < DCSFL_PUT_ENTRIES; entry++)
            out[(first_entry + entry) * step] = (uint32_t)numbers[(entry * limbs + j) * LANES + lane];
    }
}

/* All ones if a == b, else 0, for a, b < 2^32. */
static inline vector equal_mask(uint64_t a, uint64_t b) {
    return limb_set(0 - (((a ^ b) - 1) >> 63));
}

/* Four limbs of two lanes, a register each, to an array of both. */
static inline void store_limbs(limb *out, vector first, vector second) {
    const vector zero = _mm_setzero_si128();
    const vector low = _mm_unpacklo_epi32(first, second), high = _mm_unpackhi_epi32(first, second);

    out[0] = _mm_unpacklo_epi32(low, zero);
    out[1] = _mm_unpackhi_epi32(low, zero);
    out[2] = _mm_unpacklo_epi32(high, zero);
    out[3] = _mm_unpackhi_epi32(high, zero);
}

static inline void pick_strip(vector *chosen, const vector *strip, size_t entries, vector (*mask)[PICKS]) {
    vector picked[PICKS];

#pragma GCC unroll 8
    for (size_t l = 0; l < PICKS; l++)
        picked[l] = _mm_setzero_si128();
    for (size_t entry = 0; entry < entries; entry++)
#pragma GCC unroll 8
        for (size_t l = 0; l < PICKS; l++)
            picked[l] = _mm_or_si128(picked[l], _mm_and_si128(strip[entry], mask[entry][l]));
#pragma GCC unroll 8
    for (size_t l = 0; l < PICKS; l++)
        chosen[l] = picked[l];
}

/* chosen[l]: the entries' one limb in the low 32 bits. */
static inline void pick_limb(vector *chosen, const uint32_t *limbs, size_t entries, vector (*mask)[PICKS]) {
    for (size_t l = 0; l < PICKS; l++)
        chosen[l] = _mm_setzero_si128();
    for (size_t entry = 0; entry < entries; entry++)
        for (size_t l = 0; l < PICKS; l++)
            chosen[l] = _mm_or_si128(chosen[l], _mm_and_si128(_mm_cvtsi32_si128((int)limbs[entry]), mask[entry][l]));
}

static void pick(uint64_t *out, const uint8_t *row, size_t limbs, unsigned window_bits, const uint8_t *digits) {
    const uint32_t *table = (const uint32_t *)(const void *)row;
    const size_t entries = (size_t)1 << window_bits;
    vector mask[1U << DCSFL_MAX_WINDOW_BITS][PICKS], chosen[PICKS];
    size_t j = 0;

    for (size_t entry = 0; entry < entries; entry++)
        for (size_t l = 0; l < PICKS; l++)
            mask[entry][l] = equal_mask(entry, digits[l]);
    for (; limbs - j >= STRIP; j += STRIP) {
        pick_strip(chosen, (const vector *)(const void *)(table + (j << window_bits)), entries, mask);
        for (size_t l = 0; l < PICKS; l += LANES)
            store_limbs(limbs_in(out) + l / LANES * limbs + j, chosen[l], chosen[l + 1]);
    }
    for (; j < limbs; j++) {
        pick_limb(chosen, table + (j << window_bits), entries, mask);
        for (size_t l = 0; l < PICKS; l += LANES)
            limbs_in(out)[l / LANES * limbs + j] = _mm_unpacklo_epi64(chosen[l], chosen[l + 1]);
    }
    dcsfl_wipe(mask, entries * sizeof mask[0]);
    dcsfl_wipe(chosen, sizeof chosen);
}

static void scan(uint64_t *out, const uint64_t *table, size_t words, size_t entries, uint32_t index) {
    for (size_t at = 0; at < words / LANES; at++) {
        vector chosen = _mm_setzero_si128();
        for (size_t entry = 0; entry < entries; entry++)
            chosen = _mm_or_si128(chosen, _mm_and_si128(equal_mask(entry, index),
                                                        limbs_of(table + entry * words)[at]));
        limbs_in(out)[at] = chosen;
    }
}

const struct dcsfl_bigint_kernels dcsfl_bigint_sse2 = {
    LIMB_BITS, LANES, PICKS, sizeof(uint32_t), 210, multiply, square, multiply_residues, advance, multiply_add,
    put, pick, scan,
};

#endif
