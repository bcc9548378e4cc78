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

/* --- tables: one entry after the other, limbs in 32 bits ---------------------------------------------------------- */

#define PICKS 4 /* look-ups that share a load of every entry */
#define STRIP 8 /* limbs of an entry at a time: two registers */

static void put(uint8_t *row, size_t limbs, unsigned window_bits, size_t first_entry, const uint64_t *numbers,
                size_t lane) {
    uint32_t *out = (uint32_t *)(void *)row + first_entry * limbs;

    (void)window_bits;
    for (size_t i = 0; i < DCSFL_PUT_ENTRIES * limbs; i++)
        out[i] = (uint32_t)numbers[i * LANES + lane];
}

/* All ones if a == b, else 0, for a, b < 2^32. */
static inline vector equal_mask(uint64_t a, uint64_t b) {
    return limb_set(0 - (((a ^ b) - 1) >> 63));
}

static inline void vector_store(uint64_t *out, vector value) {
    _mm_store_si128((__m128i *)(void *)out, value);
}

/* Four limbs of two lanes, a register each, to an array of both. */
static inline void store_limbs(uint64_t *out, __m128i first, __m128i second) {
    const __m128i zero = _mm_setzero_si128();
    const __m128i low = _mm_unpacklo_epi32(first, second), high = _mm_unpackhi_epi32(first, second);

    vector_store(out, _mm_unpacklo_epi32(low, zero));
    vector_store(out + LANES, _mm_unpackhi_epi32(low, zero));
    vector_store(out + 2 * LANES, _mm_unpacklo_epi32(high, zero));
    vector_store(out + 3 * LANES, _mm_unpackhi_epi32(high, zero));
}

static void pick_strip(uint64_t *out, const uint32_t *table, size_t limbs, size_t entries, vector (*mask)[PICKS],
                       size_t at) {
    __m128i low[PICKS], high[PICKS];

    for (size_t l = 0; l < PICKS; l++)
        low[l] = high[l] = _mm_setzero_si128();
    for (size_t entry = 0; entry < entries; entry++) {
        const uint32_t *in = table + entry * limbs + at;
        const __m128i in_low = _mm_loadu_si128((const __m128i *)(const void *)in);
        const __m128i in_high = _mm_loadu_si128((const __m128i *)(const void *)(in + 4));
#pragma GCC unroll 4
        for (size_t l = 0; l < PICKS; l++) {
            low[l] = _mm_or_si128(low[l], _mm_and_si128(in_low, mask[entry][l]));
            high[l] = _mm_or_si128(high[l], _mm_and_si128(in_high, mask[entry][l]));
        }
    }
    for (size_t l = 0; l < PICKS; l += LANES) {
        store_limbs(out + l / LANES * limbs * LANES + at * LANES, low[l], low[l + 1]);
        store_limbs(out + l / LANES * limbs * LANES + (at + 4) * LANES, high[l], high[l + 1]);
    }
}

/* The last strip overlaps the one before. limbs >= STRIP. */
static void pick(uint64_t *out, const uint8_t *row, size_t limbs, unsigned window_bits, const uint8_t *digits) {
    const uint32_t *table = (const uint32_t *)(const void *)row;
    const size_t entries = (size_t)1 << window_bits;
    vector mask[1U << DCSFL_MAX_WINDOW_BITS][PICKS];

    DCSFL_VERIFY(limbs >= STRIP);
    for (size_t entry = 0; entry < entries; entry++)
        for (size_t l = 0; l < PICKS; l++)
            mask[entry][l] = equal_mask(entry, digits[l]);
    for (size_t at = 0; at < limbs - STRIP; at += STRIP)
        pick_strip(out, table, limbs, entries, mask, at);
    pick_strip(out, table, limbs, entries, mask, limbs - STRIP);
    dcsfl_wipe(mask, entries * sizeof mask[0]);
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
    LIMB_BITS, LANES, PICKS, sizeof(uint32_t), 210, multiply, square, advance, multiply_add, put, pick, scan,
};

#endif
