/*
 * Every codec target that runs here against an oracle that rounds with libm and clips by comparing: values at the
 * ties, the limits, subnormal, zero, huge, at the lengths around the vector lengths, in exact-size heap buffers (so
 * that a sanitizer sees the first byte too far).
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cpu.h"
#include "../dispatch.h"

static unsigned failures = 0;
static unsigned comparisons = 0;

static void expect(int holds, const char *claim, const char *target, double scale, uint32_t max_code, size_t count) {
    comparisons++;
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s: %s (scale %a, largest code %u, %zu values)\n", target, claim, scale,
                  (unsigned)max_code, count);
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes == 0 ? 1 : bytes);
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

/* Marsaglia's xorshift64: repeatable values, no more is needed here. */
static uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* [0, 1), as numpy makes it. */
static double next_uniform(uint64_t *seed) {
    return (double)(next_random(seed) >> 11) * 0x1p-53;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A finite value of some kind: of the codes' size, a tie or beside one, a limit or beside it, or any float at all. */
static float next_value(const struct dcsfl_quantiser *quantiser, uint64_t *seed) {
    const uint64_t kind = next_random(seed) >> 32;
    const double sign = kind & 0x100 ? -1.0 : 1.0;
    const double half_codes = (double)(next_random(seed) % (2 * quantiser->max_code + 4));
    const float specials[] = {0.0F, -0.0F, FLT_MIN, -FLT_MIN, FLT_MAX, -FLT_MAX, float_of(1), float_of(0x807fffff)};
    double value = 0.0;

    switch (kind % 8) {
    case 0: /* any finite float */
        return float_of((uint32_t)next_random(seed) % 0x7f800000U | (kind & 0x100 ? 0x80000000U : 0));
    case 1: /* a subnormal one */
        return float_of((uint32_t)next_random(seed) & 0x807fffffU);
    case 2:
        return specials[(kind >> 16) % (sizeof specials / sizeof specials[0])];
    case 3: /* a tie or an integer, as near as a float is */
        value = sign * half_codes / 2 / quantiser->scale;
        break;
    case 4: /* around the limit */
        value = sign * ((double)quantiser->max_code + next_uniform(seed)) / quantiser->scale;
        break;
    default:
        value = sign * next_uniform(seed) * 1.1 * (double)quantiser->max_code / quantiser->scale;
    }
    if (fabs(value) > (double)FLT_MAX)
        return sign < 0 ? -FLT_MAX : FLT_MAX;
    return kind & 0x200 ? (float)value : nextafterf((float)value, 0.0F);
}

/* The field, and 1 more in *saturated if it was clipped; without noise to nearest. */
static uint32_t oracle_quantise(const struct dcsfl_quantiser *quantiser, float value, const double *noise,
                                uint32_t *saturated) {
    const double scaled = (double)value * quantiser->scale;
    const double limit = (double)quantiser->max_code;
    double code = noise == NULL ? rint(scaled) : floor(scaled + *noise);

    if (code > limit || code < -limit) {
        code = code > 0 ? limit : -limit;
        *saturated += 1;
    }
    return (uint32_t)(int32_t)(code + (double)quantiser->offset);
}

/* Whether just `saturated` values were found out of range, and none that is not finite. */
static int is_found(struct dcsfl_quantised found, uint32_t saturated) {
    return found.saturated == saturated && found.non_finite == 0;
}

static void check_quantise(const struct dcsfl_target *target, const struct dcsfl_quantiser *quantiser, size_t count,
                           uint64_t *seed) {
    float *values = allocate(count * sizeof *values);
    double *noise = allocate(count * sizeof *noise);
    uint32_t *expected = allocate(count * sizeof *expected);
    uint32_t *out = allocate(count * sizeof *out);
    uint32_t saturated;

    for (size_t i = 0; i < count; i++) {
        const uint64_t kind = next_random(seed) >> 32;
        values[i] = next_value(quantiser, seed);
        noise[i] = kind % 4 == 0 ? 0.0 : kind % 4 == 1 ? 1.0 - 0x1p-53 : next_uniform(seed);
    }
    saturated = 0;
    for (size_t i = 0; i < count; i++)
        expected[i] = oracle_quantise(quantiser, values[i], NULL, &saturated);
    memset(out, 0xa5, count * sizeof *out);
    expect(is_found(target->codec->quantise(quantiser, out, values, count), saturated),
           "quantise counts what it clips", target->name, quantiser->scale, quantiser->max_code, count);
    expect(memcmp(out, expected, count * sizeof *out) == 0, "quantise agrees with the oracle", target->name,
           quantiser->scale, quantiser->max_code, count);

    saturated = 0;
    for (size_t i = 0; i < count; i++)
        expected[i] = oracle_quantise(quantiser, values[i], &noise[i], &saturated);
    memset(out, 0xa5, count * sizeof *out);
    expect(is_found(target->codec->quantise_noisy(quantiser, out, values, noise, count), saturated),
           "quantise with noise counts what it clips", target->name, quantiser->scale, quantiser->max_code, count);
    expect(memcmp(out, expected, count * sizeof *out) == 0, "quantise with noise agrees with the oracle",
           target->name, quantiser->scale, quantiser->max_code, count);
    free(out);
    free(expected);
    free(noise);
    free(values);
}

static void check_dequantise(const struct dcsfl_target *target, double scale, uint32_t bias, size_t count,
                             uint64_t *seed) {
    const struct dcsfl_dequantiser dequantiser = {scale, bias};
    uint32_t *sums = allocate(count * sizeof *sums);
    float *expected = allocate(count * sizeof *expected);
    float *out = allocate(count * sizeof *out);

    for (size_t i = 0; i < count; i++) {
        const uint64_t value = next_random(seed);
        const uint32_t edges[] = {0, UINT32_MAX, bias, bias + 1, bias - 1, INT32_MAX, UINT32_C(1) << 31};
        double code;
        sums[i] = value % 16 < 7 ? edges[value % 16] : (uint32_t)(value >> (32 + value % 3 * 12));
        code = (double)((int64_t)sums[i] - (int64_t)bias);
        expected[i] = (float)(code * scale);
    }
    memset(out, 0xa5, count * sizeof *out);
    target->codec->dequantise(&dequantiser, out, sums, count);
    expect(memcmp(out, expected, count * sizeof *out) == 0, "dequantise agrees with the oracle", target->name, scale,
           bias, count);
    free(out);
    free(expected);
    free(sums);
}

static const uint32_t non_finite_kinds[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0xffffffff};

/* One value that is not finite, in every place in turn, where all may stay as large as they are and where none may. */
static void check_notice(const struct dcsfl_target *target, size_t count, uint64_t *seed) {
    const struct dcsfl_quantiser quantisers[] = {{0x1p-200, 127, 128}, {1.0, 127, 128}, {0x1p124, 127, 128}};
    float *values = allocate(count * sizeof *values);
    double *noise = allocate(count * sizeof *noise);
    uint32_t *out = allocate(count * sizeof *out);

    for (size_t q = 0; q < sizeof quantisers / sizeof quantisers[0]; q++) {
        for (size_t i = 0; i < count; i++) {
            values[i] = next_value(&quantisers[q], seed);
            noise[i] = next_uniform(seed);
        }
        for (size_t i = 0; i < count; i++) {
            const uint32_t bits = non_finite_kinds[next_random(seed) % 6];
            const float kept = values[i];
            memcpy(&values[i], &bits, sizeof bits); /* a signalling NaN passes through no register */
            expect(target->codec->quantise(&quantisers[q], out, values, count).non_finite == 1,
                   "quantise sees a value that is not finite", target->name, quantisers[q].scale, 127, count);
            expect(target->codec->quantise_noisy(&quantisers[q], out, values, noise, count).non_finite == 1,
                   "quantise with noise sees it too", target->name, quantisers[q].scale, 127, count);
            values[i] = kept;
        }
    }
    free(out);
    free(noise);
    free(values);
}

static void check_search(size_t count, uint64_t *seed) {
    const struct dcsfl_quantiser any = {1.0, 127, 128};
    float *values = allocate(count * sizeof *values);
    size_t first = count, found = 0;

    for (size_t i = 0; i < count; i++)
        values[i] = next_value(&any, seed);
    expect(dcsfl_count_non_finite(values, count) == 0, "finite values are none of those counted", "any", 0, 0, count);
    expect(dcsfl_first_non_finite(values, count) == count, "no finite value is found", "any", 0, 0, count);
    for (size_t i = count; i-- > 0;) /* from the last to the first: each is the first of those put in */
        if (next_random(seed) % 8 == 0 || i % 7 == 0) {
            const uint32_t bits = non_finite_kinds[next_random(seed) % 6];
            memcpy(&values[i], &bits, sizeof bits);
            first = i;
            found++;
            expect(dcsfl_count_non_finite(values, count) == found, "NaN and infinity are counted", "any", 0, 0, count);
            expect(dcsfl_first_non_finite(values, count) == first, "the first one is found", "any", 0, 0, count);
        }
    free(values);
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    const size_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 15, 16, 17, 23, 24, 25, 31, 32, 33, 63, 64, 65, 200};
    const double scales[] = {0x1p-200, 0x1p-63, 1e-20, 0x1p-99, 0x1p-98, 0x1p-97, 0.37,   1.0,     3.0,
                             32767.0,  1e9,     1e20,  0x1p100, 0x1p123, 0x1p124, 127.0, 1 / 3.0};
    uint64_t seed = 0x9e3779b97f4a7c15U;
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        check_search(counts[c], &seed);
    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features)) {
            (void)printf("%s: does not run here\n", targets[t].name);
            continue;
        }
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            check_notice(&targets[t], counts[c], &seed);
            for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
                for (unsigned bits = 2; bits <= 24; bits++) {
                    const struct dcsfl_quantiser quantiser = {scales[s], (UINT32_C(1) << (bits - 1)) - 1,
                                                              UINT32_C(1) << (bits - 1)};
                    check_quantise(&targets[t], &quantiser, counts[c], &seed);
                }
                check_dequantise(&targets[t], scales[s], (uint32_t)(next_random(&seed) >> (32 + s)), counts[c],
                                 &seed);
            }
            check_dequantise(&targets[t], 0x1p-150, 1 << 15, counts[c], &seed); /* subnormal results */
            check_dequantise(&targets[t], 0x1p120, 0, counts[c], &seed);        /* and infinite ones */
        }
        check_quantise(&targets[t], &(struct dcsfl_quantiser){1.0, 1, 1 << 24}, 1000, &seed);
        check_quantise(&targets[t], &(struct dcsfl_quantiser){1.0, 1 << 24, 1 << 24}, 1000, &seed);
        (void)printf("%s: checked\n", targets[t].name);
    }
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0;
}
