/*
 * The codec's arithmetic with AVX-512, called only where DCSFL_CPU_AVX512_IFMA is set: value.h, sixteen values at a
 * time, in two halves where they are doubles. The last ones are a step whose other lanes are masked off: masked loads
 * and stores touch no memory there.
 */
#include <immintrin.h>

#include "codec.h"
#include "value.h"

/* The lanes of a step that `left` values fill. */
static inline __mmask16 live_lanes(size_t left) {
    return (__mmask16)(left >= 16 ? 0xffffU : (1U << left) - 1U);
}

/* Those of its second half. */
static inline __mmask8 upper_lanes(__mmask16 live) {
    return (__mmask8)(live >> 8);
}

/* --- quantise ------------------------------------------------------------------------------------ */

/* struct dcsfl_quantise_step in every lane. */
struct lanes {
    __m512d scale;
    __m512i cap;
    __m512i max_code;
    __m512i highest; /* 2 * max_code */
    __m512i lowest_field;
    __m512i sign;
    __m512i smallest_normal;
    __m512i infinity;
};

static struct lanes make_lanes(const struct dcsfl_quantise_step *step) {
    const struct lanes lanes = {
        .scale = _mm512_set1_pd(step->scale),
        .cap = _mm512_set1_epi32((int32_t)step->cap),
        .max_code = _mm512_set1_epi32((int32_t)step->max_code),
        .highest = _mm512_set1_epi32((int32_t)(2 * step->max_code)),
        .lowest_field = _mm512_set1_epi32((int32_t)step->lowest_field),
        .sign = _mm512_set1_epi32(INT32_MIN),
        .smallest_normal = _mm512_set1_epi32((int32_t)DCSFL_FLOAT_SMALLEST_NORMAL),
        .infinity = _mm512_set1_epi32((int32_t)DCSFL_FLOAT_INFINITY),
    };
    return lanes;
}

/* What has been found so far: the largest magnitude of each lane, and how many codes were clipped. */
struct tally {
    __m512i largest;
    uint32_t saturated;
};

static inline struct dcsfl_quantised gather(const struct lanes *lanes, const struct tally *tally) {
    const struct dcsfl_quantised found = {tally->saturated,
                                          _mm512_cmpge_epi32_mask(tally->largest, lanes->infinity) != 0};
    return found;
}

static inline __m512d widen_lower(__m512i floats) {
    return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_castsi512_si256(floats)));
}

static inline __m512d widen_upper(__m512i floats) {
    return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_extracti64x4_epi64(floats, 1)));
}

static inline __m512i join(__m256i lower, __m256i upper) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(lower), upper, 1);
}

/* The live values' bits without their signs, cut to the cap; notes how large they were. */
static inline __m512i cut_magnitudes(const struct lanes *lanes, __m512i bits, struct tally *tally) {
    const __m512i whole = _mm512_andnot_si512(lanes->sign, bits);

    tally->largest = _mm512_max_epi32(tally->largest, whole);
    return _mm512_min_epi32(whole, lanes->cap);
}

/* Clip the live codes and store their fields; counts those of them that clipping changed. */
static inline void store_clipped(const struct lanes *lanes, uint32_t *out, __m512i codes, __mmask16 live,
                                 struct tally *tally) {
    const __m512i above_lowest = _mm512_add_epi32(codes, lanes->max_code);
    const __m512i clipped =
        _mm512_min_epi32(_mm512_max_epi32(above_lowest, _mm512_setzero_si512()), lanes->highest);

    _mm512_mask_storeu_epi32(out, live, _mm512_add_epi32(clipped, lanes->lowest_field));
    tally->saturated += (uint32_t)_mm_popcnt_u32(_mm512_mask_cmpneq_epi32_mask(live, clipped, above_lowest));
}

static struct dcsfl_quantised quantise(const struct dcsfl_quantiser *quantiser, uint32_t *out, const float *values,
                                       size_t count) {
    const struct dcsfl_quantise_step step = dcsfl_make_quantise_step(quantiser);
    const struct lanes lanes = make_lanes(&step);
    struct tally tally = {_mm512_setzero_si512(), 0};

    dcsfl_quantise_verify(quantiser, out, values, count);
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 live = live_lanes(count - i);
        const __m512i bits = _mm512_maskz_loadu_epi32(live, values + i);
        const __m512i cut = cut_magnitudes(&lanes, bits, &tally);
        const __mmask16 normal = _mm512_cmpge_epi32_mask(cut, lanes.smallest_normal);
        const __m512i floats =
            _mm512_or_si512(_mm512_maskz_mov_epi32(normal, cut), _mm512_and_si512(bits, lanes.sign));
        const __m512d lower = _mm512_mul_pd(widen_lower(floats), lanes.scale);
        const __m512d upper = _mm512_mul_pd(widen_upper(floats), lanes.scale);

        store_clipped(&lanes, out + i, join(_mm512_cvtpd_epi32(lower), _mm512_cvtpd_epi32(upper)), live, &tally);
    }
    return gather(&lanes, &tally);
}

static inline __m256i floor_noisy(__m512d exact, __m512d scale, __m512d noise) {
    return _mm512_cvt_roundpd_epi32(_mm512_add_pd(_mm512_mul_pd(exact, scale), noise),
                                    _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

static struct dcsfl_quantised quantise_noisy(const struct dcsfl_quantiser *quantiser, uint32_t *out,
                                             const float *values, const double *noise, size_t count) {
    const struct dcsfl_quantise_step step = dcsfl_make_quantise_step(quantiser);
    const struct lanes lanes = make_lanes(&step);
    struct tally tally = {_mm512_setzero_si512(), 0};

    dcsfl_quantise_verify(quantiser, out, values, count);
    DCSFL_VERIFY(count == 0 || noise != NULL);
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 live = live_lanes(count - i);
        const __m512i bits = _mm512_maskz_loadu_epi32(live, values + i);
        const __m512i sign = _mm512_and_si512(bits, lanes.sign);
        const __m512i cut = cut_magnitudes(&lanes, bits, &tally);
        const __mmask16 subnormal = _mm512_cmplt_epi32_mask(cut, lanes.smallest_normal);
        const __m512i added = _mm512_maskz_mov_epi32(subnormal, lanes.smallest_normal);
        const __m512i floats = _mm512_or_si512(_mm512_or_si512(cut, added), sign);
        const __m512i taken_off = _mm512_or_si512(added, sign);
        const __m256i lower = floor_noisy(_mm512_sub_pd(widen_lower(floats), widen_lower(taken_off)), lanes.scale,
                                          _mm512_maskz_loadu_pd((__mmask8)live, noise + i));
        const __m256i upper = floor_noisy(_mm512_sub_pd(widen_upper(floats), widen_upper(taken_off)), lanes.scale,
                                          _mm512_maskz_loadu_pd(upper_lanes(live), noise + i + 8));

        store_clipped(&lanes, out + i, join(lower, upper), live, &tally);
    }
    return gather(&lanes, &tally);
}

/* --- dequantise ---------------------------------------------------------------------------------- */

static inline __m256 dequantise_eight(__m256i sums, __m512d bias, __m512d scale) {
    return _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_sub_pd(_mm512_cvtepu32_pd(sums), bias), scale));
}

static void dequantise(const struct dcsfl_dequantiser *dequantiser, float *out, const uint32_t *sums, size_t count) {
    const __m512d bias = _mm512_set1_pd((double)dequantiser->bias);
    const __m512d scale = _mm512_set1_pd(dequantiser->scale);

    dcsfl_dequantise_verify(dequantiser, out, sums, count);
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 live = live_lanes(count - i);
        const __m512i summed = _mm512_maskz_loadu_epi32(live, sums + i);
        const __m256 lower = dequantise_eight(_mm512_castsi512_si256(summed), bias, scale);
        const __m256 upper = dequantise_eight(_mm512_extracti64x4_epi64(summed, 1), bias, scale);

        _mm512_mask_storeu_ps(out + i, live, _mm512_insertf32x8(_mm512_castps256_ps512(lower), upper, 1));
    }
}

const struct dcsfl_codec_kernels dcsfl_codec_avx512ifma = {quantise, quantise_noisy, dequantise};
