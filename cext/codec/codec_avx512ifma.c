/*
 * The codec's arithmetic with AVX-512, called only where DCSFL_CPU_AVX512_IFMA is set: value.h, eight values at a
 * time, as 256-bit integers and 512-bit doubles. The last ones are a step whose other lanes are masked off: masked
 * loads and stores touch no memory there.
 */
#include <immintrin.h>

#include "codec.h"
#include "value.h"

/* The lanes of a step that `left` values fill. */
static inline __mmask8 live_lanes(size_t left) {
    return (__mmask8)(left >= 8 ? 0xffU : (1U << left) - 1U);
}

static inline uint32_t lanes_set(__mmask8 lanes) {
    return (uint32_t)_mm_popcnt_u32(lanes);
}

/* --- quantise ------------------------------------------------------------------------------------ */

/* struct dcsfl_quantise_step in every lane. */
struct lanes {
    __m512d scale;
    __m256i cap;
    __m256i max_code;
    __m256i highest; /* 2 * max_code */
    __m256i lowest_field;
    __m256i sign;
    __m256i smallest_normal;
    __m256i infinity;
};

static struct lanes make_lanes(const struct dcsfl_quantise_step *step) {
    const struct lanes lanes = {
        .scale = _mm512_set1_pd(step->scale),
        .cap = _mm256_set1_epi32((int32_t)step->cap),
        .max_code = _mm256_set1_epi32((int32_t)step->max_code),
        .highest = _mm256_set1_epi32((int32_t)(2 * step->max_code)),
        .lowest_field = _mm256_set1_epi32((int32_t)step->lowest_field),
        .sign = _mm256_set1_epi32(INT32_MIN),
        .smallest_normal = _mm256_set1_epi32((int32_t)DCSFL_FLOAT_SMALLEST_NORMAL),
        .infinity = _mm256_set1_epi32((int32_t)DCSFL_FLOAT_INFINITY),
    };
    return lanes;
}

static inline __m512d widen(__m256i floats) {
    return _mm512_cvtps_pd(_mm256_castsi256_ps(floats));
}

/* Clip the live codes and store their fields. Returns how many of them clipping changed. */
static inline uint32_t store_clipped(const struct lanes *lanes, uint32_t *out, __m256i codes, __mmask8 live) {
    const __m256i above_lowest = _mm256_add_epi32(codes, lanes->max_code);
    const __m256i clipped =
        _mm256_min_epi32(_mm256_max_epi32(above_lowest, _mm256_setzero_si256()), lanes->highest);

    _mm256_mask_storeu_epi32(out, live, _mm256_add_epi32(clipped, lanes->lowest_field));
    return lanes_set(_mm256_mask_cmpneq_epi32_mask(live, clipped, above_lowest));
}

/* What is found, given the largest magnitude of each lane. */
static struct dcsfl_quantised gather(const struct lanes *lanes, uint32_t saturated, __m256i largest) {
    const struct dcsfl_quantised found = {saturated, _mm256_cmpge_epi32_mask(largest, lanes->infinity) != 0};
    return found;
}

static struct dcsfl_quantised quantise(const struct dcsfl_quantiser *quantiser, uint32_t *out, const float *values,
                                       size_t count) {
    const struct dcsfl_quantise_step step = dcsfl_make_quantise_step(quantiser);
    const struct lanes lanes = make_lanes(&step);
    uint32_t saturated = 0;
    __m256i largest = _mm256_setzero_si256();

    dcsfl_quantise_verify(quantiser, out, values, count);
    for (size_t i = 0; i < count; i += 8) {
        const __mmask8 live = live_lanes(count - i);
        const __m256i bits = _mm256_maskz_loadu_epi32(live, values + i);
        const __m256i whole = _mm256_andnot_si256(lanes.sign, bits);
        const __m256i cut = _mm256_min_epi32(whole, lanes.cap);
        const __mmask8 normal = _mm256_cmpge_epi32_mask(cut, lanes.smallest_normal);
        const __m256i magnitudes = _mm256_maskz_mov_epi32(normal, cut);
        const __m256i floats = _mm256_or_si256(magnitudes, _mm256_and_si256(bits, lanes.sign));
        const __m512d scaled = _mm512_mul_pd(widen(floats), lanes.scale);

        largest = _mm256_max_epi32(largest, whole);
        saturated += store_clipped(&lanes, out + i, _mm512_cvtpd_epi32(scaled), live);
    }
    return gather(&lanes, saturated, largest);
}

static struct dcsfl_quantised quantise_noisy(const struct dcsfl_quantiser *quantiser, uint32_t *out,
                                             const float *values, const double *noise, size_t count) {
    const struct dcsfl_quantise_step step = dcsfl_make_quantise_step(quantiser);
    const struct lanes lanes = make_lanes(&step);
    uint32_t saturated = 0;
    __m256i largest = _mm256_setzero_si256();

    dcsfl_quantise_verify(quantiser, out, values, count);
    DCSFL_VERIFY(count == 0 || noise != NULL);
    for (size_t i = 0; i < count; i += 8) {
        const __mmask8 live = live_lanes(count - i);
        const __m256i bits = _mm256_maskz_loadu_epi32(live, values + i);
        const __m256i sign = _mm256_and_si256(bits, lanes.sign);
        const __m256i whole = _mm256_xor_si256(bits, sign);
        const __m256i cut = _mm256_min_epi32(whole, lanes.cap);
        const __mmask8 subnormal = _mm256_cmplt_epi32_mask(cut, lanes.smallest_normal);
        const __m256i added = _mm256_maskz_mov_epi32(subnormal, lanes.smallest_normal);
        const __m256i floats = _mm256_or_si256(_mm256_or_si256(cut, added), sign);
        const __m256i taken_off = _mm256_or_si256(added, sign);
        const __m512d exact = _mm512_sub_pd(widen(floats), widen(taken_off));
        const __m512d noisy =
            _mm512_add_pd(_mm512_mul_pd(exact, lanes.scale), _mm512_maskz_loadu_pd(live, noise + i));
        const __m256i codes = _mm512_cvt_roundpd_epi32(noisy, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);

        largest = _mm256_max_epi32(largest, whole);
        saturated += store_clipped(&lanes, out + i, codes, live);
    }
    return gather(&lanes, saturated, largest);
}

/* --- dequantise ---------------------------------------------------------------------------------- */

static void dequantise(const struct dcsfl_dequantiser *dequantiser, float *out, const uint32_t *sums, size_t count) {
    const __m512d bias = _mm512_set1_pd((double)dequantiser->bias);
    const __m512d scale = _mm512_set1_pd(dequantiser->scale);

    dcsfl_dequantise_verify(dequantiser, out, sums, count);
    for (size_t i = 0; i < count; i += 8) {
        const __mmask8 live = live_lanes(count - i);
        const __m512d summed = _mm512_cvtepu32_pd(_mm256_maskz_loadu_epi32(live, sums + i));
        const __m512d means = _mm512_mul_pd(_mm512_sub_pd(summed, bias), scale);

        _mm256_mask_storeu_ps(out + i, live, _mm512_cvtpd_ps(means));
    }
}

const struct dcsfl_codec_kernels dcsfl_codec_avx512ifma = {quantise, quantise_noisy, dequantise};
