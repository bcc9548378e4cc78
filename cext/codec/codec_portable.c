/* The codec's arithmetic in plain C11: runs everywhere, and is what the other targets are measured against. */
#include "codec.h"
#include "value.h"

size_t dcsfl_first_non_finite(const float *values, size_t count) {
    size_t i = 0;

    while (i < count && !dcsfl_is_non_finite(dcsfl_float_bits(values[i])))
        i++;
    return i;
}

size_t dcsfl_count_non_finite(const float *values, size_t count) {
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += dcsfl_is_non_finite(dcsfl_float_bits(values[i]));
    return found;
}

static struct dcsfl_quantised quantise(const struct dcsfl_quantiser *quantiser, uint32_t *out, const float *values,
                                       size_t count) {
    const struct dcsfl_quantise_step step = dcsfl_make_quantise_step(quantiser);
    struct dcsfl_quantised found = {0, 0};

    dcsfl_quantise_verify(quantiser, out, values, count);
    for (size_t i = 0; i < count; i++)
        out[i] = dcsfl_quantise_value(&step, values[i], &found);
    return found;
}

static struct dcsfl_quantised quantise_noisy(const struct dcsfl_quantiser *quantiser, uint32_t *out,
                                             const float *values, const double *noise, size_t count) {
    const struct dcsfl_quantise_step step = dcsfl_make_quantise_step(quantiser);
    struct dcsfl_quantised found = {0, 0};

    dcsfl_quantise_verify(quantiser, out, values, count);
    DCSFL_VERIFY(count == 0 || noise != NULL);
    for (size_t i = 0; i < count; i++)
        out[i] = dcsfl_quantise_noisy_value(&step, values[i], noise[i], &found);
    return found;
}

static void dequantise(const struct dcsfl_dequantiser *dequantiser, float *out, const uint32_t *sums, size_t count) {
    const double two_to_52_and_bias = 0x1p52 + (double)dequantiser->bias;
    const double scale = dequantiser->scale; /* a copy that no store to out can alter */

    dcsfl_dequantise_verify(dequantiser, out, sums, count);
    for (size_t i = 0; i < count; i++)
        out[i] = dcsfl_dequantise_sum(two_to_52_and_bias, scale, sums[i]);
}

const struct dcsfl_codec_kernels dcsfl_codec_portable = {quantise, quantise_noisy, dequantise};
