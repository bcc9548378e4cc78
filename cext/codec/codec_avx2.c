/*
 * The codec's arithmetic with AVX2, compiled with -mavx2 and called only where DCSFL_CPU_AVX2 is set: value.h, eight
 * values at a time. The last count % 8 are left to value.h itself.
 */
#include <immintrin.h>

#include "codec.h"
#include "value.h"

static inline __m256i load256(const void *in) {
    return _mm256_loadu_si256((const __m256i *)in);
}

static inline void store256(void *out, __m256i value) {
    _mm256_storeu_si256((__m256i *)out, value);
}

static uint32_t add_lanes(__m256i value) {
    uint32_t lane[8], sum = 0;

    store256(lane, value);
    for (int i = 0; i < 8; i++)
        sum += lane[i];
    return sum;
}

/* --- quantise ------------------------------------------------------------------------------------ */

/* struct dcsfl_quantise_step in every lane. */
struct lanes {
    __m256d scale;
    __m256i cap;
    __m256i max_code;
    __m256i highest; /* 2 * max_code */
    __m256i lowest_field;
    __m256i sign;
    __m256i largest_subnormal;
    __m256i largest_finite;
};

static struct lanes make_lanes(const struct dcsfl_quantise_step *step) {
    const struct lanes lanes = {
        .scale = _mm256_set1_pd(step->scale),
        .cap = _mm256_set1_epi32((int32_t)step->cap),
        .max_code = _mm256_set1_epi32((int32_t)step->max_code),
        .highest = _mm256_set1_epi32((int32_t)(2 * step->max_code)),
        .lowest_field = _mm256_set1_epi32((int32_t)step->lowest_field),
        .sign = _mm256_set1_epi32(INT32_MIN),
        .largest_subnormal = _mm256_set1_epi32((int32_t)DCSFL_FLOAT_SMALLEST_NORMAL - 1),
        .largest_finite = _mm256_set1_epi32((int32_t)DCSFL_FLOAT_INFINITY - 1),
    };
    return lanes;
}

static inline __m256d widen_lower(__m256i floats) {
    return _mm256_cvtps_pd(_mm_castsi128_ps(_mm256_castsi256_si128(floats)));
}

static inline __m256d widen_upper(__m256i floats) {
    return _mm256_cvtps_pd(_mm_castsi128_ps(_mm256_extracti128_si256(floats, 1)));
}

/* What has been found so far: the largest magnitude of each lane, and how many codes in each were in range. */
struct tally {
    __m256i largest;
    __m256i in_range;
};

/* What that comes to, for `count` values. */
static struct dcsfl_quantised gather(const struct lanes *lanes, const struct tally *tally, size_t count) {
    const __m256i non_finite = _mm256_cmpgt_epi32(tally->largest, lanes->largest_finite);
    const struct dcsfl_quantised found = {(uint32_t)count - add_lanes(tally->in_range),
                                          !_mm256_testz_si256(non_finite, non_finite)};
    return found;
}

/* The values' bits without their signs, cut to the cap; notes how large they were. */
static inline __m256i cut_magnitudes(const struct lanes *lanes, __m256i bits, struct tally *tally) {
    const __m256i whole = _mm256_andnot_si256(lanes->sign, bits);

    tally->largest = _mm256_max_epi32(tally->largest, whole);
    return _mm256_min_epi32(whole, lanes->cap);
}

/* Round 8 numbers below 2^31 to codes, clip them and store their fields; counts those that clipping left alone. */
static inline void store_clipped(const struct lanes *lanes, uint32_t *out, __m256d lower, __m256d upper,
                                 struct tally *tally) {
    const __m256i codes = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm256_cvtpd_epi32(lower)),
                                                  _mm256_cvtpd_epi32(upper), 1);
    const __m256i above_lowest = _mm256_add_epi32(codes, lanes->max_code);
    const __m256i clipped =
        _mm256_min_epi32(_mm256_max_epi32(above_lowest, _mm256_setzero_si256()), lanes->highest);

    store256(out, _mm256_add_epi32(clipped, lanes->lowest_field));
    tally->in_range = _mm256_sub_epi32(tally->in_range, _mm256_cmpeq_epi32(clipped, above_lowest));
}

static struct dcsfl_quantised quantise(const struct dcsfl_quantiser *quantiser, uint32_t *out, const float *values,
                                       size_t count) {
    const struct dcsfl_quantise_step step = dcsfl_make_quantise_step(quantiser);
    const struct lanes lanes = make_lanes(&step);
    const size_t vector_count = count & ~(size_t)7;
    struct tally tally = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    struct dcsfl_quantised found;

    dcsfl_quantise_verify(quantiser, out, values, count);
    for (size_t i = 0; i < vector_count; i += 8) {
        const __m256i bits = load256(values + i);
        const __m256i cut = cut_magnitudes(&lanes, bits, &tally);
        const __m256i magnitudes = _mm256_and_si256(cut, _mm256_cmpgt_epi32(cut, lanes.largest_subnormal));
        const __m256i floats = _mm256_or_si256(magnitudes, _mm256_and_si256(bits, lanes.sign));
        const __m256d lower = _mm256_mul_pd(widen_lower(floats), lanes.scale);
        const __m256d upper = _mm256_mul_pd(widen_upper(floats), lanes.scale);

        store_clipped(&lanes, out + i, lower, upper, &tally);
    }
    found = gather(&lanes, &tally, vector_count);
    for (size_t i = vector_count; i < count; i++)
        out[i] = dcsfl_quantise_value(&step, values[i], &found);
    return found;
}

static inline __m256d floor_noisy(__m256d exact, __m256d scale, const double *noise) {
    return _mm256_floor_pd(_mm256_add_pd(_mm256_mul_pd(exact, scale), _mm256_loadu_pd(noise)));
}

static struct dcsfl_quantised quantise_noisy(const struct dcsfl_quantiser *quantiser, uint32_t *out,
                                             const float *values, const double *noise, size_t count) {
    const struct dcsfl_quantise_step step = dcsfl_make_quantise_step(quantiser);
    const struct lanes lanes = make_lanes(&step);
    const __m256i smallest_normal = _mm256_set1_epi32((int32_t)DCSFL_FLOAT_SMALLEST_NORMAL);
    const size_t vector_count = count & ~(size_t)7;
    struct tally tally = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    struct dcsfl_quantised found;

    dcsfl_quantise_verify(quantiser, out, values, count);
    DCSFL_VERIFY(count == 0 || noise != NULL);
    for (size_t i = 0; i < vector_count; i += 8) {
        const __m256i bits = load256(values + i);
        const __m256i sign = _mm256_and_si256(bits, lanes.sign);
        const __m256i cut = cut_magnitudes(&lanes, bits, &tally);
        const __m256i added =
            _mm256_andnot_si256(_mm256_cmpgt_epi32(cut, lanes.largest_subnormal), smallest_normal);
        const __m256i floats = _mm256_or_si256(_mm256_or_si256(cut, added), sign);
        const __m256i taken_off = _mm256_or_si256(added, sign);
        const __m256d lower = floor_noisy(_mm256_sub_pd(widen_lower(floats), widen_lower(taken_off)), lanes.scale,
                                          noise + i);
        const __m256d upper = floor_noisy(_mm256_sub_pd(widen_upper(floats), widen_upper(taken_off)), lanes.scale,
                                          noise + i + 4);

        store_clipped(&lanes, out + i, lower, upper, &tally);
    }
    found = gather(&lanes, &tally, vector_count);
    for (size_t i = vector_count; i < count; i++)
        out[i] = dcsfl_quantise_noisy_value(&step, values[i], noise[i], &found);
    return found;
}

/* --- dequantise ---------------------------------------------------------------------------------- */

static inline __m128 dequantise_four(__m128i sums, __m256d raised_bias, __m256d scale) {
    const __m256i two_to_52 = _mm256_set1_epi64x((int64_t)DCSFL_TWO_TO_52_BITS);
    const __m256i raised = _mm256_or_si256(_mm256_cvtepu32_epi64(sums), two_to_52);
    const __m256d codes = _mm256_sub_pd(_mm256_castsi256_pd(raised), raised_bias);
    return _mm256_cvtpd_ps(_mm256_mul_pd(codes, scale));
}

static void dequantise(const struct dcsfl_dequantiser *dequantiser, float *out, const uint32_t *sums, size_t count) {
    const double two_to_52_and_bias = 0x1p52 + (double)dequantiser->bias, scale = dequantiser->scale;
    const __m256d raised_bias = _mm256_set1_pd(two_to_52_and_bias), scales = _mm256_set1_pd(scale);
    const size_t vector_count = count & ~(size_t)7;

    dcsfl_dequantise_verify(dequantiser, out, sums, count);
    for (size_t i = 0; i < vector_count; i += 8) {
        const __m256i loaded = load256(sums + i);
        _mm_storeu_ps(out + i, dequantise_four(_mm256_castsi256_si128(loaded), raised_bias, scales));
        _mm_storeu_ps(out + i + 4,
                      dequantise_four(_mm256_extracti128_si256(loaded, 1), raised_bias, scales));
    }
    for (size_t i = vector_count; i < count; i++)
        out[i] = dcsfl_dequantise_sum(two_to_52_and_bias, scale, sums[i]);
}

const struct dcsfl_codec_kernels dcsfl_codec_avx2 = {quantise, quantise_noisy, dequantise};
