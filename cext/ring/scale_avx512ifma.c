/*
 * cover, uncover and reduce with AVX-512: the formulas of scale.h, whose bounds hold here too, on 8 lanes. Called
 * only where DCSFL_CPU_AVX512_IFMA is set.
 */
#include <immintrin.h>
#include <string.h>

#include "scale.h"

#define LANES 8

typedef __m512i vector;

static inline vector load(const uint64_t *from) {
    return _mm512_loadu_si512(from);
}

static inline void store(uint64_t *to, vector value) {
    _mm512_storeu_si512(to, value);
}

static inline vector splat(uint64_t value) {
    return _mm512_set1_epi64((int64_t)value);
}

static inline __m128i shift_count(unsigned bits) {
    return _mm_cvtsi32_si128((int)bits);
}

/*
 * For values of at least -modulus: a negative one is huge as unsigned, and the sum, which wraps around, the lesser.
 */
static inline vector add_if_negative(vector value, vector modulus) {
    return _mm512_min_epu64(value, _mm512_add_epi64(value, modulus));
}

static inline vector subtract_if_not_below(vector value, vector modulus) {
    return _mm512_min_epu64(value, _mm512_sub_epi64(value, modulus));
}

/* --- cover ---------------------------------------------------------------------------------------- */

struct cover_constants {
    __m128i lift;
    __m128i drop;
    vector q;
    vector half;
    vector top;   /* q - 1 where bits are dropped, else 2^64 - 1, which no value is */
};

static inline vector cover_lanes(const struct cover_constants *constants, vector mask, const int8_t *errors,
                                 vector words) {
    const vector q = constants->q;
    int64_t eight_errors;
    vector b, scaled;

    memcpy(&eight_errors, errors, sizeof eight_errors);
    scaled = _mm512_sll_epi64(_mm512_sub_epi64(_mm512_slli_epi64(words, 6), words), constants->lift);
    b = _mm512_add_epi64(_mm512_add_epi64(mask, constants->half), scaled);
    b = _mm512_add_epi64(b, _mm512_cvtepi8_epi64(_mm_cvtsi64_si128(eight_errors)));
    b = add_if_negative(b, q);       /* of [-128, 2q + 62] */
    b = subtract_if_not_below(b, q); /* of [0, 2q + 62] */
    b = subtract_if_not_below(b, q); /* of [0, q + 62] */
    b = _mm512_maskz_mov_epi64(_mm512_cmpneq_epi64_mask(b, constants->top), b);
    return _mm512_srl_epi64(b, constants->drop);
}

void dcsfl_ring_cover_avx512ifma(const struct dcsfl_ring_scale *scale, uint64_t *out, size_t count,
                                 const uint64_t *mask, const int8_t *errors, const uint64_t *words) {
    const struct dcsfl_ring_steps steps = dcsfl_ring_steps(scale->plaintext_bits, scale->dropped_bits);
    const struct cover_constants constants = {
        .lift = shift_count(steps.lift),
        .drop = shift_count(steps.drop),
        .q = splat(DCSFL_Q),
        .half = splat(steps.half),
        .top = splat(steps.drop == 0 ? UINT64_MAX : DCSFL_Q - 1),
    };
    size_t i = 0;

    for (; count - i >= LANES; i += LANES)
        store(out + i, cover_lanes(&constants, load(mask + i), errors + i, load(words + i)));
    for (; i < count; i++)
        out[i] = dcsfl_ring_cover_one(&steps, mask[i], errors[i], words[i]);
}

/* --- reduce --------------------------------------------------------------------------------------- */

struct reduce_constants {
    __m128i shift; /* modulus_shift */
    vector low_mask;
    vector q;
};

static struct reduce_constants reduce_constants(const struct dcsfl_ring_steps *steps) {
    const struct reduce_constants constants = {
        .shift = shift_count(steps->modulus_shift),
        .low_mask = splat((UINT64_C(1) << steps->modulus_shift) - 1),
        .q = splat(DCSFL_Q),
    };
    return constants;
}

/* dcsfl_mod63. A product of the low halves of two lanes also cuts the first of them to 32 bits. */
static inline vector mod63(vector h) {
    h = _mm512_add_epi64(_mm512_and_si512(h, splat((UINT64_C(1) << 30) - 1)), _mm512_srli_epi64(h, 30));
    h = _mm512_add_epi64(_mm512_and_si512(h, splat((UINT64_C(1) << 18) - 1)), _mm512_srli_epi64(h, 18));
    h = _mm512_mul_epu32(h, splat(DCSFL_RECIPROCAL32_63));
    return _mm512_srli_epi64(_mm512_mul_epu32(h, splat(63)), 32);
}

static inline vector reduce_dropped(const struct reduce_constants *constants, vector s) {
    const vector high = _mm512_sll_epi64(mod63(_mm512_srl_epi64(s, constants->shift)), constants->shift);
    return _mm512_add_epi64(high, _mm512_and_si512(s, constants->low_mask));
}

static inline vector reduce_whole(const struct reduce_constants *constants, vector s) {
    const vector h = _mm512_srli_epi64(s, 44);
    const vector c = _mm512_srli_epi64(_mm512_mul_epu32(h, splat(DCSFL_RECIPROCAL32_63)), 32);
    const vector r = _mm512_sub_epi64(h, _mm512_mul_epu32(c, splat(63)));
    const vector low = _mm512_sub_epi64(_mm512_and_si512(s, constants->low_mask), c);
    return add_if_negative(_mm512_add_epi64(_mm512_slli_epi64(r, 44), low), constants->q);
}

static inline vector reduce_lanes(const struct reduce_constants *constants, vector s, int is_whole) {
    return is_whole ? reduce_whole(constants, s) : reduce_dropped(constants, s);
}

void dcsfl_ring_reduce_avx512ifma(unsigned dropped_bits, uint64_t *words, size_t count) {
    const struct dcsfl_ring_steps steps = dcsfl_ring_steps(0, dropped_bits);
    const struct reduce_constants constants = reduce_constants(&steps);
    size_t i = 0;

    if (dropped_bits == 0)
        for (; count - i >= LANES; i += LANES)
            store(words + i, reduce_lanes(&constants, load(words + i), 1));
    else
        for (; count - i >= LANES; i += LANES)
            store(words + i, reduce_lanes(&constants, load(words + i), 0));
    for (; i < count; i++)
        words[i] = dcsfl_ring_reduce_one(&steps, words[i]);
}

/* --- uncover -------------------------------------------------------------------------------------- */

struct uncover_constants {
    struct reduce_constants reduce;
    __m128i drop;
    vector start; /* half - q */
    vector modulus;
    vector word_mask;
    __m512d two52;   /* 2^52, whose low bits hold an integer that is added */
    __m512d unshift; /* 2^52 less the offset below */
    __m512d step_inverse;
};

/*
 * floor((difference + floor(D / 2)) / D) is (difference + offset) / D rounded to the nearest integer, with offset 0
 * for odd D = 63, else 1/2, so that no quotient is a tie; scale_avx2.c says why a quotient in double precision
 * serves.
 */
static struct uncover_constants uncover_constants(const struct dcsfl_ring_steps *steps) {
    const double step_inverse = 1.0 / (double)(UINT64_C(63) << steps->step_shift);
    const struct uncover_constants constants = {
        .reduce = reduce_constants(steps),
        .drop = shift_count(steps->drop),
        .start = splat(steps->half - DCSFL_Q),
        .modulus = splat(steps->modulus),
        .word_mask = splat(steps->word_mask),
        .two52 = _mm512_set1_pd(0x1p52),
        .unshift = _mm512_set1_pd(0x1p52 - (steps->step_shift == 0 ? 0.0 : 0.5)),
        .step_inverse = _mm512_set1_pd(step_inverse),
    };
    return constants;
}

static inline vector uncover_lanes(const struct uncover_constants *constants, vector mask, vector sums,
                                   int is_whole) {
    const vector reduced = reduce_lanes(&constants->reduce, sums, is_whole);
    vector difference = add_if_negative(_mm512_add_epi64(mask, constants->start), constants->reduce.q);
    __m512d quotient;

    difference = _mm512_sub_epi64(reduced, _mm512_srl_epi64(difference, constants->drop));
    difference = add_if_negative(difference, constants->modulus);
    quotient = _mm512_castsi512_pd(_mm512_or_si512(difference, _mm512_castpd_si512(constants->two52)));
    quotient = _mm512_sub_pd(quotient, constants->unshift);
    quotient = _mm512_fmadd_pd(quotient, constants->step_inverse, constants->two52);
    return _mm512_and_si512(_mm512_castpd_si512(quotient), constants->word_mask);
}

void dcsfl_ring_uncover_avx512ifma(const struct dcsfl_ring_scale *scale, uint64_t *out, size_t count,
                                   const uint64_t *mask, const uint64_t *sums) {
    const struct dcsfl_ring_steps steps = dcsfl_ring_steps(scale->plaintext_bits, scale->dropped_bits);
    const struct uncover_constants constants = uncover_constants(&steps);
    size_t i = 0;

    if (steps.drop == 0)
        for (; count - i >= LANES; i += LANES)
            store(out + i, uncover_lanes(&constants, load(mask + i), load(sums + i), 1));
    else
        for (; count - i >= LANES; i += LANES)
            store(out + i, uncover_lanes(&constants, load(mask + i), load(sums + i), 0));
    for (; i < count; i++)
        out[i] = dcsfl_ring_uncover_one(&steps, mask[i], sums[i]);
}
