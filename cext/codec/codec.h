/*
 * The codec's arithmetic: float32 values to offset-binary fields, and sums of fields back to float32.
 *
 * Values, noise and sums are secret. Every kernel is constant time in them: branches, addresses and the choice of
 * instructions depend on the parameters, the counts and the pointers alone, and no floating-point instruction is
 * given a subnormal number, which some processors take longer over. (One result can be subnormal: see
 * dcsfl_dequantise_fn.) What a function returns is public.
 *
 * Every target gives the same bits, in the default floating-point environment: double precision products and sums,
 * rounded to nearest, ties to even.
 *
 * Counts are at most DCSFL_CODEC_MAX_COUNT, so that counters fit 32 bits; longer vectors are handed over in parts.
 * Arrays are aligned as their elements, do not overlap, and may be NULL if the count is 0.
 */
#ifndef DCSFL_CODEC_H
#define DCSFL_CODEC_H

#include <stddef.h>
#include <stdint.h>

#define DCSFL_CODEC_MAX_COUNT ((size_t)1 << 28)

/*
 * 2^-200 <= scale <= 2^124: a subnormal value times scale is below 2^-2 and rounds to 0.
 * 1 <= max_code <= offset <= 2^24.
 */
struct dcsfl_quantiser {
    double scale;
    uint32_t max_code;
    uint32_t offset;
};

static inline int dcsfl_quantiser_is_valid(const struct dcsfl_quantiser *quantiser) {
    return quantiser->scale >= 0x1p-200 && quantiser->scale <= 0x1p124 && quantiser->max_code >= 1 &&
           quantiser->max_code <= quantiser->offset && quantiser->offset <= UINT32_C(1) << 24;
}

/* What was found of the values on the way, while they were at hand. */
struct dcsfl_quantised {
    uint32_t saturated;  /* how many rounded values were outside [-max_code, max_code] */
    uint32_t non_finite; /* 0 if every value is finite, else 1: then `saturated` and `out` say nothing */
};

/*
 * out[i] = clip(round(values[i] * scale), -max_code, max_code) + offset for i < count, rounding ties to even.
 *   values     any; to be finite is asked of all, and what is found is returned.
 */
typedef struct dcsfl_quantised dcsfl_quantise_fn(const struct dcsfl_quantiser *quantiser, uint32_t *out,
                                                 const float *values, size_t count);

/*
 * The same with floor(values[i] * scale + noise[i]), the sum rounded to double before the floor.
 *   noise      each in [0, 1]; with other values `out` is still in range, and otherwise unspecified.
 */
typedef struct dcsfl_quantised dcsfl_quantise_noisy_fn(const struct dcsfl_quantiser *quantiser, uint32_t *out,
                                                       const float *values, const double *noise, size_t count);

/* 2^-200 <= scale <= 2^200. */
struct dcsfl_dequantiser {
    double scale;
    uint32_t bias;
};

static inline int dcsfl_dequantiser_is_valid(const struct dcsfl_dequantiser *dequantiser) {
    return dequantiser->scale >= 0x1p-200 && dequantiser->scale <= 0x1p200;
}

/*
 * out[i] = float((sums[i] - bias) * scale) for i < count.
 * Where scale < 2^-126 a result can be a subnormal float, and some processors take longer to make one.
 */
typedef void dcsfl_dequantise_fn(const struct dcsfl_dequantiser *dequantiser, float *out, const uint32_t *sums,
                                 size_t count);

struct dcsfl_codec_kernels {
    dcsfl_quantise_fn *quantise;
    dcsfl_quantise_noisy_fn *quantise_noisy;
    dcsfl_dequantise_fn *dequantise;
};

extern const struct dcsfl_codec_kernels dcsfl_codec_portable;
extern const struct dcsfl_codec_kernels dcsfl_codec_avx2;       /* requires DCSFL_CPU_AVX2 */
extern const struct dcsfl_codec_kernels dcsfl_codec_avx512ifma; /* requires DCSFL_CPU_AVX512_IFMA */

/* How many of values[0..count), any number of them, are NaN or infinite. */
size_t dcsfl_count_non_finite(const float *values, size_t count);

/*
 * The index of the first of values[0..count) that is NaN or infinite, or count. Takes time in the index alone,
 * which is public, as errors name it.
 */
size_t dcsfl_first_non_finite(const float *values, size_t count);

#endif
