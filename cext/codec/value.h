/*
 * One value at a time: what the portable kernels are made of, and what the AVX2 kernels finish a vector with.
 * `static inline`, so that a copy compiled for an instruction set stays inside the file compiled for it.
 *
 * Comparisons are made on integers with shifts, never with < on floats: compilers turn that into branches.
 */
#ifndef DCSFL_CODEC_VALUE_H
#define DCSFL_CODEC_VALUE_H

#include <float.h>
#include <string.h>

#include "../verify.h"
#include "codec.h"

/* The rounding below needs doubles that are not kept in wider registers. */
_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 1, "double arithmetic must be in double precision");

#define DCSFL_FLOAT_SIGN UINT32_C(0x80000000)
#define DCSFL_FLOAT_SMALLEST_NORMAL UINT32_C(0x00800000) /* 2^-126 */
#define DCSFL_FLOAT_INFINITY UINT32_C(0x7f800000)

/* 1.5 * 2^52: the sum of it and a double in [-2^31, 2^31) ends in that double, rounded to an integer. */
#define DCSFL_ROUNDER 6755399441055744.0

static inline uint32_t dcsfl_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float dcsfl_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t dcsfl_double_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline double dcsfl_double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* All ones if a < b, else 0, for a, b in [0, 2^31). */
static inline uint32_t dcsfl_mask_below(uint32_t a, uint32_t b) {
    return 0U - ((a - b) >> 31);
}

/*
 * The bits of a magnitude that times scale is 2^30 or so: above what codes hold, below what 32 bits hold. Larger
 * values are cut to it before they are scaled; they saturate either way. The largest float if all may stay.
 */
static inline uint32_t dcsfl_magnitude_cap(double scale) {
    const double cap = 0x1p30 / scale;
    return dcsfl_float_bits(cap < (double)FLT_MAX ? (float)cap : FLT_MAX);
}

/* What every value of a call is quantised with. */
struct dcsfl_quantise_step {
    double scale;
    uint32_t cap;          /* dcsfl_magnitude_cap(scale) */
    uint32_t max_code;
    uint32_t lowest_field; /* offset - max_code */
};

static inline struct dcsfl_quantise_step dcsfl_make_quantise_step(const struct dcsfl_quantiser *quantiser) {
    const struct dcsfl_quantise_step step = {
        .scale = quantiser->scale,
        .cap = dcsfl_magnitude_cap(quantiser->scale),
        .max_code = quantiser->max_code,
        .lowest_field = quantiser->offset - quantiser->max_code,
    };
    return step;
}

/* 1 for the bits of NaN or infinity, else 0: the carry of an exponent of all ones ends in bit 31. */
static inline uint32_t dcsfl_is_non_finite(uint32_t bits) {
    return ((bits & ~DCSFL_FLOAT_SIGN) + DCSFL_FLOAT_SMALLEST_NORMAL) >> 31;
}

/* The field of `code`, an int32 in two's complement, clipped; takes down in `found` if clipping changed it. */
static inline uint32_t dcsfl_clip(const struct dcsfl_quantise_step *step, uint32_t code,
                                  struct dcsfl_quantised *found) {
    const uint32_t above_lowest = code + step->max_code; /* in [0, 2 * max_code], where it does not saturate */
    const uint32_t not_below = above_lowest & ((above_lowest >> 31) - 1U);
    const uint32_t below_highest = 2 * step->max_code - not_below;

    found->saturated += (above_lowest >> 31) + (below_highest >> 31);
    return not_below + (below_highest & (0U - (below_highest >> 31))) + step->lowest_field;
}

/* values[i] * scale to nearest, clipped. A subnormal value is replaced by zero: its code is 0 too. */
static inline uint32_t dcsfl_quantise_value(const struct dcsfl_quantise_step *step, float value,
                                            struct dcsfl_quantised *found) {
    const uint32_t bits = dcsfl_float_bits(value);
    uint32_t magnitude = bits & ~DCSFL_FLOAT_SIGN;
    double scaled, shifted;

    found->non_finite |= dcsfl_is_non_finite(bits);
    magnitude ^= (magnitude ^ step->cap) & dcsfl_mask_below(step->cap, magnitude);
    magnitude &= ~dcsfl_mask_below(magnitude, DCSFL_FLOAT_SMALLEST_NORMAL);
    scaled = (double)dcsfl_float_of(magnitude | (bits & DCSFL_FLOAT_SIGN)) * step->scale;
    shifted = scaled + DCSFL_ROUNDER;
    return dcsfl_clip(step, (uint32_t)dcsfl_double_bits(shifted), found);
}

/*
 * floor(value * scale + noise), clipped. A subnormal value counts here, so 2^-126 is added to its magnitude as a
 * float, which sets the exponent's lowest bit, and taken off again as a double, without an error.
 */
static inline uint32_t dcsfl_quantise_noisy_value(const struct dcsfl_quantise_step *step, float value, double noise,
                                                  struct dcsfl_quantised *found) {
    const uint32_t bits = dcsfl_float_bits(value);
    const uint32_t sign = bits & DCSFL_FLOAT_SIGN;
    uint32_t magnitude = bits & ~DCSFL_FLOAT_SIGN, added;
    double exact, scaled, noisy, shifted, rounded;
    uint64_t code;

    found->non_finite |= dcsfl_is_non_finite(bits);
    magnitude ^= (magnitude ^ step->cap) & dcsfl_mask_below(step->cap, magnitude);
    added = DCSFL_FLOAT_SMALLEST_NORMAL & dcsfl_mask_below(magnitude, DCSFL_FLOAT_SMALLEST_NORMAL);
    exact = (double)dcsfl_float_of(magnitude | added | sign) - (double)dcsfl_float_of(added | sign);
    scaled = exact * step->scale;
    noisy = scaled + noise;
    shifted = noisy + DCSFL_ROUNDER;
    rounded = shifted - DCSFL_ROUNDER;
    /* The floor is one less where rounding went up: where noisy - rounded, an exact difference, is negative. */
    code = dcsfl_double_bits(shifted) - (dcsfl_double_bits(noisy - rounded) >> 63);
    return dcsfl_clip(step, (uint32_t)code, found);
}

/* A double with these upper 32 bits is 2^52 plus its lower 32 bits. */
#define DCSFL_TWO_TO_52_BITS (UINT64_C(0x433) << 52)

/*
 * (sum - bias) * scale, given 2^52 + bias: both terms of the difference, and it, are integers below 2^53. Vector
 * units have no conversion from unsigned integers before AVX-512; this is one for all.
 */
static inline float dcsfl_dequantise_sum(double two_to_52_and_bias, double scale, uint32_t sum) {
    const double code = dcsfl_double_of(DCSFL_TWO_TO_52_BITS | sum) - two_to_52_and_bias;
    const double mean = code * scale;
    return (float)mean;
}

/* The contracts, as far as they can be checked without the values. */
static inline void dcsfl_quantise_verify(const struct dcsfl_quantiser *quantiser, const uint32_t *out,
                                         const float *values, size_t count) {
    DCSFL_VERIFY(dcsfl_quantiser_is_valid(quantiser));
    DCSFL_VERIFY(count <= DCSFL_CODEC_MAX_COUNT);
    DCSFL_VERIFY(count == 0 || (out != NULL && values != NULL));
    (void)quantiser, (void)out, (void)values, (void)count;
}

static inline void dcsfl_dequantise_verify(const struct dcsfl_dequantiser *dequantiser, const float *out,
                                           const uint32_t *sums, size_t count) {
    DCSFL_VERIFY(dcsfl_dequantiser_is_valid(dequantiser));
    DCSFL_VERIFY(count <= DCSFL_CODEC_MAX_COUNT);
    DCSFL_VERIFY(count == 0 || (out != NULL && sums != NULL));
    (void)dequantiser, (void)out, (void)sums, (void)count;
}

#endif
