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

#define LANES 8 /* two vectors */
#define VECTOR_LANES 4
#define BLOCK 4

#define LIMB_BITS 51
#define GUARD 128 /* fewer than 161 low halves of at least -2^50 */

#define HIGH_PATTERN UINT64_C(0x4660000000000000)    /* 2^103 */
#define LOW_PATTERN UINT64_C(0x4338000000000000)     /* 1.5 * 2^52 */
#define INTEGER_PATTERN UINT64_C(0x4330000000000000) /* 2^52: with a limb in its low bits, 2^52 + limb */
#define SUM_BIAS (UINT64_C(1) << 62)

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
        multiply_vectors(modulus, scratch, out + half, left + half, right + half, 0);
}

static void square(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *factor) {
    for (size_t half = 0; half < LANES; half += VECTOR_LANES)
        multiply_vectors(modulus, scratch, out + half, factor + half, factor + half, 1);
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

/* --- tables: per limb the low 26 bits of all entries, then the high 25, so that vpermd serves 8 lanes ------------ */

static void put(uint64_t *row, size_t limbs, unsigned window_bits, size_t entry, const uint64_t *number, size_t lane) {
    uint32_t *halves = (uint32_t *)(void *)row + entry;

    for (size_t j = 0; j < limbs; j++) {
        const uint64_t limb = number[j * LANES + lane];
        halves[0] = (uint32_t)(limb & ((1U << 26) - 1));
        halves[(size_t)1 << window_bits] = (uint32_t)(limb >> 26);
        halves += (size_t)2 << window_bits;
    }
}

/* Digits of 8 lanes: as indices, and bit 3 + i moved to the sign, where blendv looks. */
struct digits {
    __m256i index;
    __m256 bit[DCSFL_MAX_WINDOW_BITS - 3];
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE __m256 pick8(const uint32_t *entries, const struct digits *digits) {
    return _mm256_permutevar8x32_ps(_mm256_load_ps((const float *)(const void *)entries), digits->index);
}

ALWAYS_INLINE __m256 pick16(const uint32_t *entries, const struct digits *digits) {
    return _mm256_blendv_ps(pick8(entries, digits), pick8(entries + 8, digits), digits->bit[0]);
}

ALWAYS_INLINE __m256 pick32(const uint32_t *entries, const struct digits *digits) {
    return _mm256_blendv_ps(pick16(entries, digits), pick16(entries + 16, digits), digits->bit[1]);
}

ALWAYS_INLINE __m256 pick64(const uint32_t *entries, const struct digits *digits) {
    return _mm256_blendv_ps(pick32(entries, digits), pick32(entries + 32, digits), digits->bit[2]);
}

ALWAYS_INLINE __m256 pick128(const uint32_t *entries, const struct digits *digits) {
    return _mm256_blendv_ps(pick64(entries, digits), pick64(entries + 64, digits), digits->bit[3]);
}

ALWAYS_INLINE __m256 pick256(const uint32_t *entries, const struct digits *digits) {
    return _mm256_blendv_ps(pick128(entries, digits), pick128(entries + 128, digits), digits->bit[4]);
}

/* Four lanes of halves to limbs. */
ALWAYS_INLINE __m256i join(__m128i low, __m128i high) {
    return _mm256_or_si256(_mm256_cvtepu32_epi64(low), _mm256_slli_epi64(_mm256_cvtepu32_epi64(high), 26));
}

static void pick(uint64_t *out, const uint64_t *row, size_t limbs, unsigned window_bits, const uint32_t *digits) {
    const uint32_t *halves = (const uint32_t *)(const void *)row;
    struct digits of;

    of.index = _mm256_loadu_si256((const __m256i *)(const void *)digits);
    for (int i = 0; i < DCSFL_MAX_WINDOW_BITS - 3; i++)
        of.bit[i] = _mm256_castsi256_ps(_mm256_sll_epi32(of.index, _mm_cvtsi32_si128(28 - i)));
    switch (window_bits) {
#define PICK(bits, entries)                                                                                 \
    case bits:                                                                                              \
        for (size_t j = 0; j < limbs; j++) {                                                                \
            const __m256i low = _mm256_castps_si256(pick##entries(halves + 2 * j * entries, &of));          \
            const __m256i high = _mm256_castps_si256(pick##entries(halves + (2 * j + 1) * entries, &of));   \
            vector_store(out + j * LANES, join(_mm256_castsi256_si128(low), _mm256_castsi256_si128(high))); \
            vector_store(out + j * LANES + VECTOR_LANES,                                                    \
                         join(_mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)));        \
        }                                                                                                   \
        break;
        PICK(4, 16)
        PICK(5, 32)
        PICK(6, 64)
        PICK(7, 128)
        PICK(8, 256)
#undef PICK
    default:
        break;
    }
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
    LIMB_BITS, LANES, multiply, square, advance, multiply_add, put, pick, scan,
};
