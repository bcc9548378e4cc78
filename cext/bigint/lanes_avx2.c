/*
 * Products mod n^2 with AVX2 and FMA, compiled with -mavx2 -mfma and called only where DCSFL_CPU_AVX2 is set.
 *
 * The halves of a product of 51-bit limbs come from two fused multiply-adds (after Emmart, Zheng, Weems, "Faster modular
 * exponentiation using double precision floating point arithmetic on the GPU", ARITH 2018, who round towards zero and
 * so have 52 bits; this is in round-to-nearest, the mode every thread starts in and nothing here leaves). For integers
 * a, b < 2^51:
 *   high = fma(a, b, 2^103) = 2^103 + k 2^51        k = a b / 2^51 rounded, in [0, 2^51): the unit of [2^103, 2^104)
 *   low  = fma(a, b, (2^103 + 3 * 2^51) - high)     = 1.5 * 2^52 + l, l = a b - k 2^51 in [-2^50, 2^50]
 * The difference is (3 - k) 2^51 and exact, and so is low, whose unit is 1. As integers the bit patterns of high and low
 * are HIGH_PATTERN + k and LOW_PATTERN + l: sums of halves are sums of patterns, and what the patterns add up to is
 * taken off at the start of a column. LOW_PATTERN is 0 mod 2^51. No operand is ever denormal.
 *
 * A column's sum is signed; a start of 2^62 more keeps it non-negative for the shift, and the 2^11 that these carry are
 * taken off the next column.
 */
#include <immintrin.h>

#include "bigint.h"
#include "limbs.h"

#define LANES 8 /* two vectors */
#define VECTOR_LANES 4
#define MAX_LIMBS 161
#define BLOCK 4

#define LIMB_BITS 51
#define GUARD 128 /* fewer than 161 low halves of at least -2^50 */

#define HIGH_PATTERN UINT64_C(0x4660000000000000)    /* 2^103 */
#define LOW_PATTERN UINT64_C(0x4338000000000000)     /* 1.5 * 2^52 */
#define INTEGER_PATTERN UINT64_C(0x4330000000000000) /* 2^52: with a limb in its low bits, 2^52 + limb */
#define SUM_BIAS (UINT64_C(1) << 62)
#define WRITTEN_OUT 0

typedef __m256i vector;
typedef __m256d operand;

static inline vector vector_load(const uint64_t *in) {
    return _mm256_load_si256((const __m256i *)(const void *)in);
}

static inline void vector_store(uint64_t *out, vector value) {
    _mm256_store_si256((__m256i *)(void *)out, value);
}

static inline vector vector_set(uint64_t value) {
    return _mm256_set1_epi64x((long long)value);
}

static inline vector vector_add(vector a, vector b) {
    return _mm256_add_epi64(a, b);
}

static inline vector vector_sub(vector a, vector b) {
    return _mm256_sub_epi64(a, b);
}

static inline vector vector_and(vector a, vector b) {
    return _mm256_and_si256(a, b);
}

static inline vector vector_carry(vector column) {
    return _mm256_srli_epi64(column, LIMB_BITS);
}

static inline operand operand_from(vector limb) {
    const vector pattern = vector_set(INTEGER_PATTERN);
    return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(limb, pattern)), _mm256_castsi256_pd(pattern));
}

static inline void split(vector *low, vector *high, operand a, operand b) {
    const operand unit = _mm256_castsi256_pd(vector_set(HIGH_PATTERN));
    const operand both = _mm256_set1_pd(0x1p103 + 0x1.8p52);
    const operand top = _mm256_fmadd_pd(a, b, unit);
    const operand bottom = _mm256_fmadd_pd(a, b, _mm256_sub_pd(both, top));

    *high = _mm256_castpd_si256(top);
    *low = _mm256_castpd_si256(bottom);
}

static inline __attribute__((always_inline)) void multiply_accumulate(vector *low, vector *high, operand a,
                                                                      operand b) {
    vector low_half, high_half;

    split(&low_half, &high_half, a, b);
    *low = vector_add(*low, low_half);
    *high = vector_add(*high, high_half);
}

static inline vector column_start(uint64_t lows, uint64_t highs, int is_first) {
    return vector_set(SUM_BIAS - (is_first ? 0 : SUM_BIAS >> LIMB_BITS) - lows * LOW_PATTERN - highs * HIGH_PATTERN);
}

static inline vector quotient(vector column, operand inverse) {
    const vector mask = vector_set((UINT64_C(1) << LIMB_BITS) - 1);
    vector low, high;

    split(&low, &high, operand_from(vector_and(column, mask)), inverse);
    return vector_and(low, mask);
}

#include "lanes_vector.h"

static void multiply(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *left,
                     const uint64_t *right) {
    for (size_t half = 0; half < LANES; half += VECTOR_LANES)
        multiply_vectors(modulus, scratch, out + half, left + half, right + half, PRODUCT);
}

static void square(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *factor) {
    for (size_t half = 0; half < LANES; half += VECTOR_LANES)
        multiply_vectors(modulus, scratch, out + half, factor + half, factor + half, SQUARE);
}

static void multiply_residues(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out,
                              const uint64_t *left, const uint64_t *right) {
    for (size_t half = 0; half < LANES; half += VECTOR_LANES)
        multiply_vectors(modulus, scratch, out + half, left + half, right + half, RESIDUE);
}

static void advance(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *state, const uint64_t *factor) {
    for (size_t half = 0; half < LANES; half += VECTOR_LANES)
        advance_vectors(modulus, scratch, state + half, factor + half);
}

static void multiply_add(uint64_t *scratch, uint64_t *out, const uint64_t *factor, size_t factor_limbs,
                         const uint64_t *constant, size_t constant_limbs, const uint64_t *addend,
                         size_t addend_limbs) {
    for (size_t half = 0; half < LANES; half += VECTOR_LANES)
        multiply_add_vectors(scratch, out + half, factor + half, factor_limbs, constant, constant_limbs, addend + half,
                             addend_limbs);
}

/*
 * --- tables: per limb 7 planes of bytes, each of one byte of all entries, so that vpshufb looks 32 digits up in 16
 * entries at once. An index byte with its top bit set gives 0: of the look-ups in all sixteenths of a plane, the one
 * that a digit's upper bits name is left by the OR.
 */
#define ENTRY_BYTES 7
#define PICKS 32
#define MAX_SIXTEENTHS 16

static void put(uint8_t *row, size_t limbs, unsigned window_bits, size_t first_entry, const uint64_t *numbers,
                size_t lane) {
    for (size_t j = 0; j < limbs; j++)
        for (unsigned byte = 0; byte < ENTRY_BYTES; byte++) {
            uint8_t *plane = row + ((j * ENTRY_BYTES + byte) << window_bits) + first_entry;
            for (size_t i = 0; i < DCSFL_PUT_ENTRIES; i++)
                plane[i] = (uint8_t)(numbers[(i * limbs + j) * LANES + lane] >> 8 * byte);
        }
}

/* Byte l of the result: byte digits[l] of the plane. */
static inline __attribute__((always_inline)) __m256i pick_plane(const uint8_t *plane, const __m256i *index,
                                                                const size_t sixteenths) {
    __m256i all = _mm256_setzero_si256();

#pragma GCC unroll 16
    for (size_t i = 0; i < sixteenths; i++) {
        const __m128i entries = _mm_loadu_si128((const __m128i *)(const void *)(plane + 16 * i));
        all = _mm256_or_si256(all, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), index[i]));
    }
    return all;
}

/*
 * Eight planes of one limb to its 32 lanes. The unpacks work within halves of a register: they bring bytes 4 i .. 4 i + 3
 * of either half together, so the digits' order (spread_digits) is such that these are 8 lanes of one array.
 */
static inline __attribute__((always_inline)) void store_limb(uint64_t *out, size_t array_words, const __m256i *plane) {
    const __m256i a0 = _mm256_unpacklo_epi8(plane[0], plane[1]), a1 = _mm256_unpackhi_epi8(plane[0], plane[1]);
    const __m256i b0 = _mm256_unpacklo_epi8(plane[2], plane[3]), b1 = _mm256_unpackhi_epi8(plane[2], plane[3]);
    const __m256i c0 = _mm256_unpacklo_epi8(plane[4], plane[5]), c1 = _mm256_unpackhi_epi8(plane[4], plane[5]);
    const __m256i zero = _mm256_setzero_si256();
    const __m256i d0 = _mm256_unpacklo_epi8(plane[6], zero), d1 = _mm256_unpackhi_epi8(plane[6], zero);
    const __m256i low[4] = {_mm256_unpacklo_epi16(a0, b0), _mm256_unpackhi_epi16(a0, b0),
                            _mm256_unpacklo_epi16(a1, b1), _mm256_unpackhi_epi16(a1, b1)};
    const __m256i high[4] = {_mm256_unpacklo_epi16(c0, d0), _mm256_unpackhi_epi16(c0, d0),
                             _mm256_unpacklo_epi16(c1, d1), _mm256_unpackhi_epi16(c1, d1)};

    for (size_t i = 0; i < PICKS / LANES; i++) {
        vector_store(out + i * array_words, _mm256_unpacklo_epi32(low[i], high[i]));
        vector_store(out + i * array_words + VECTOR_LANES, _mm256_unpackhi_epi32(low[i], high[i]));
    }
}

/*
 * The digit of lane l goes to the byte from where the unpacks take it there: lanes 8 i + 0, 1 | 2, 3 are bytes 4 i + 0, 1
 * of the lower | upper half, lanes 8 i + 4, 5 | 6, 7 bytes 4 i + 2, 3.
 */
static void spread_digits(uint8_t spread[PICKS], const uint8_t *digits) {
    for (size_t l = 0; l < PICKS; l++)
        spread[l / 8 * 4 + (l / 4 % 2) * 2 + l % 2 + (l / 2 % 2) * 16] = digits[l];
}

static inline __attribute__((always_inline)) void pick_all(uint64_t *out, const uint8_t *row, size_t limbs,
                                                           unsigned window_bits, const __m256i *index,
                                                           const size_t sixteenths) {
    for (size_t j = 0; j < limbs; j++) {
        __m256i plane[ENTRY_BYTES];
#pragma GCC unroll 8
        for (unsigned byte = 0; byte < ENTRY_BYTES; byte++)
            plane[byte] = pick_plane(row + ((j * ENTRY_BYTES + byte) << window_bits), index, sixteenths);
        store_limb(out + j * LANES, limbs * LANES, plane);
    }
}

static void pick(uint64_t *out, const uint8_t *row, size_t limbs, unsigned window_bits, const uint8_t *digits) {
    const __m256i absent = _mm256_set1_epi8(-128);
    __m256i index[MAX_SIXTEENTHS], digit;
    uint8_t spread[PICKS];

    spread_digits(spread, digits);
    digit = _mm256_loadu_si256((const __m256i *)(const void *)spread);
    for (int i = 0; i < MAX_SIXTEENTHS; i++) {
        const __m256i upper = _mm256_and_si256(digit, _mm256_set1_epi8(-16));
        const __m256i here = _mm256_cmpeq_epi8(upper, _mm256_set1_epi8((char)(i << 4)));
        index[i] = _mm256_or_si256(_mm256_andnot_si256(here, absent), _mm256_and_si256(digit, _mm256_set1_epi8(15)));
    }
    switch (window_bits) {
    case 4:
        pick_all(out, row, limbs, 4, index, 1);
        break;
    case 5:
        pick_all(out, row, limbs, 5, index, 2);
        break;
    case 6:
        pick_all(out, row, limbs, 6, index, 4);
        break;
    case 7:
        pick_all(out, row, limbs, 7, index, 8);
        break;
    default:
        pick_all(out, row, limbs, 8, index, 16);
        break;
    }
    dcsfl_wipe(index, sizeof index);
    dcsfl_wipe(spread, sizeof spread);
}

static void scan(uint64_t *out, const uint64_t *table, size_t words, size_t entries, uint32_t index) {
    for (size_t at = 0; at < words; at += LANES) {
        vector first = vector_set(0), second = vector_set(0);
        for (size_t entry = 0; entry < entries; entry++) {
            const vector mask = _mm256_cmpeq_epi64(vector_set(entry), vector_set(index));
            const uint64_t *in = table + entry * words + at;
            first = _mm256_or_si256(first, vector_and(mask, vector_load(in)));
            second = _mm256_or_si256(second, vector_and(mask, vector_load(in + VECTOR_LANES)));
        }
        vector_store(out + at, first);
        vector_store(out + at + VECTOR_LANES, second);
    }
}

const struct dcsfl_bigint_kernels dcsfl_bigint_avx2 = {
    LIMB_BITS, LANES, PICKS, ENTRY_BYTES, 1600, multiply, square, multiply_residues, advance, multiply_add,
    put, pick, scan,
};
