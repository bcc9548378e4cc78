/*
 * cover, uncover and reduce with AVX2 and FMA: the formulas of scale.h, whose bounds hold here too, on 4 lanes.
 * Compiled with -mavx2 -mfma and called only where DCSFL_CPU_AVX2 is set.
 */
#include <immintrin.h>
#include <string.h>

#include "scale.h"

#define LANES 4

typedef __m256i vector;

static inline vector load(const uint64_t *from) {
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline void store(uint64_t *to, vector value) {
    _mm256_storeu_si256((__m256i *)(void *)to, value);
}

static inline vector splat(uint64_t value) {
    return _mm256_set1_epi64x((int64_t)value);
}

static inline __m128i shift_count(unsigned bits) {
    return _mm_cvtsi32_si128((int)bits);
}

/* `then` where the top bit of `sign` is set, else `otherwise`. */
static inline vector choose_by_sign(vector sign, vector then, vector otherwise) {
    return _mm256_castpd_si256(
        _mm256_blendv_pd(_mm256_castsi256_pd(otherwise), _mm256_castsi256_pd(then), _mm256_castsi256_pd(sign)));
}

static inline vector add_if_negative(vector value, vector modulus) {
    return choose_by_sign(value, _mm256_add_epi64(value, modulus), value);
}

/* --- cover ---------------------------------------------------------------------------------------- */

struct cover_constants {
    __m128i lift;
    __m128i drop;
    vector q;
    vector start; /* half - q */
    vector top;   /* q - 1 where bits are dropped, else 2^64 - 1, which no value is */
};

static inline vector cover_lanes(const struct cover_constants *constants, vector mask, const int8_t *errors,
                                 vector words) {
    const vector q = constants->q;
    int32_t four_errors;
    vector b, scaled;

    memcpy(&four_errors, errors, sizeof four_errors);
    scaled = _mm256_sll_epi64(_mm256_sub_epi64(_mm256_slli_epi64(words, 6), words), constants->lift);
    b = _mm256_add_epi64(_mm256_add_epi64(mask, constants->start), scaled);
    b = _mm256_add_epi64(b, _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(four_errors)));
    b = add_if_negative(b, q);
    b = add_if_negative(b, q);
    b = add_if_negative(_mm256_sub_epi64(b, q), q);
    b = _mm256_andnot_si256(_mm256_cmpeq_epi64(b, constants->top), b);
    return _mm256_srl_epi64(b, constants->drop);
}

void dcsfl_ring_cover_avx2(const struct dcsfl_ring_scale *scale, uint64_t *out, size_t count, const uint64_t *mask,
                           const int8_t *errors, const uint64_t *words) {
    const struct dcsfl_ring_steps steps = dcsfl_ring_steps(scale->plaintext_bits, scale->dropped_bits);
    const struct cover_constants constants = {
        .lift = shift_count(steps.lift),
        .drop = shift_count(steps.drop),
        .q = splat(DCSFL_Q),
        .start = splat(steps.half - DCSFL_Q),
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

static inline vector fold(vector h, uint64_t low_mask, int bits) {
    return _mm256_add_epi64(_mm256_and_si256(h, splat(low_mask)), _mm256_srli_epi64(h, bits));
}

/* dcsfl_mod63. A product of the low halves of two lanes also cuts the first of them to 32 bits. */
static inline vector mod63(vector h) {
    h = fold(h, (UINT64_C(1) << 30) - 1, 30);
    h = fold(h, (UINT64_C(1) << 18) - 1, 18);
    h = _mm256_mul_epu32(h, splat(DCSFL_RECIPROCAL32_63));
    return _mm256_srli_epi64(_mm256_mul_epu32(h, splat(63)), 32);
}

static inline vector reduce_dropped(const struct reduce_constants *constants, vector s) {
    const vector high = _mm256_sll_epi64(mod63(_mm256_srl_epi64(s, constants->shift)), constants->shift);
    return _mm256_add_epi64(high, _mm256_and_si256(s, constants->low_mask));
}

static inline vector reduce_whole(const struct reduce_constants *constants, vector s) {
    const vector h = _mm256_srli_epi64(s, 44);
    const vector c = _mm256_srli_epi64(_mm256_mul_epu32(h, splat(DCSFL_RECIPROCAL32_63)), 32);
    const vector r = _mm256_sub_epi64(h, _mm256_mul_epu32(c, splat(63)));
    const vector low = _mm256_sub_epi64(_mm256_and_si256(s, constants->low_mask), c);
    return add_if_negative(_mm256_add_epi64(_mm256_slli_epi64(r, 44), low), constants->q);
}

static inline vector reduce_lanes(const struct reduce_constants *constants, vector s, int is_whole) {
    return is_whole ? reduce_whole(constants, s) : reduce_dropped(constants, s);
}

void dcsfl_ring_reduce_avx2(unsigned dropped_bits, uint64_t *words, size_t count) {
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
    vector half;
    vector modulus;
    vector word_mask;
    __m256d two52;   /* 2^52, whose low bits hold an integer that is added */
    __m256d unshift; /* 2^52 less the offset below */
    __m256d step_inverse;
};

/*
 * Where bits are dropped, neither mask + half nor the difference is reduced: q or more of the first, which stands for
 * less than half, rounds to Q' instead of 0, and the second, Q' added, is at most 2 Q'; word_mask takes multiples of
 * Q' = D 2^plaintext_bits off the quotient.
 *
 * floor((difference + floor(D / 2)) / D) is (difference + offset) / D rounded to the nearest integer, with offset 0
 * for odd D = 63, else 1/2, so that no quotient is a tie; each is at least 1 / 2D away from one. The FMA rounds
 * once, to an integer as it adds 2^52, and 1/D is off by 2^-53 of itself, so a quotient, at most 2^plaintext_bits +
 * 1/2, by less than 2^(plaintext_bits - 52) < 2^-7 / 2^step_shift <= 1 / 2D; with bits dropped and Q' added, at most
 * twice as much, by less than 2^(plaintext_bits - 51) <= 2^-8 / 2^step_shift.
 */
static struct uncover_constants uncover_constants(const struct dcsfl_ring_steps *steps) {
    const double step_inverse = 1.0 / (double)(UINT64_C(63) << steps->step_shift);
    const struct uncover_constants constants = {
        .reduce = reduce_constants(steps),
        .drop = shift_count(steps->drop),
        .half = splat(steps->half),
        .modulus = splat(steps->modulus),
        .word_mask = splat(steps->word_mask),
        .two52 = _mm256_set1_pd(0x1p52),
        .unshift = _mm256_set1_pd(0x1p52 - (steps->step_shift == 0 ? 0.0 : 0.5)),
        .step_inverse = _mm256_set1_pd(step_inverse),
    };
    return constants;
}

static inline vector uncover_lanes(const struct uncover_constants *constants, vector mask, vector sums,
                                   int is_whole) {
    const vector reduced = reduce_lanes(&constants->reduce, sums, is_whole);
    const vector rounded = _mm256_srl_epi64(_mm256_add_epi64(mask, constants->half), constants->drop);
    vector difference = _mm256_sub_epi64(reduced, rounded);
    __m256d quotient;

    difference = is_whole ? add_if_negative(difference, constants->modulus)
                          : _mm256_add_epi64(difference, constants->modulus);
    quotient = _mm256_castsi256_pd(_mm256_or_si256(difference, _mm256_castpd_si256(constants->two52)));
    quotient = _mm256_sub_pd(quotient, constants->unshift);
    quotient = _mm256_fmadd_pd(quotient, constants->step_inverse, constants->two52);
    return _mm256_and_si256(_mm256_castpd_si256(quotient), constants->word_mask);
}

void dcsfl_ring_uncover_avx2(const struct dcsfl_ring_scale *scale, uint64_t *out, size_t count, const uint64_t *mask,
                             const uint64_t *sums) {
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
