/*
 * Vectors of the rlwe scheme on every target that runs here: what is encrypted is what the kernels give step by step,
 * polynomial by polynomial; sums decrypt to sums of words; lengths around a polynomial, in buffers of exact size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cpu.h"
#include "../dispatch.h"
#include "../pack/coefficients.h"
#include "../rlwe/vector.h"
#include "../sample/gaussian.h"

enum { DEGREE = 64, LOG2_DEGREE = 6, MOST_POLYNOMIALS = 5, CLIENTS = 3, DOMAIN = 7 };

static unsigned failures = 0;
static unsigned comparisons = 0;

static void expect(int holds, const char *claim, const char *target, size_t count) {
    comparisons++;
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s: %s (%zu words)\n", target, claim, count);
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes == 0 ? 1 : bytes);
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

/* uint64[rows, DEGREE], uniform. */
static uint64_t *polynomials(size_t rows, uint64_t first_index) {
    static const uint8_t seed[DCSFL_SEED_BYTES] = {3};
    uint64_t *out = allocate(rows * DEGREE * sizeof *out);
    for (size_t row = 0; row < rows; row++) {
        const struct dcsfl_stream stream = {seed, 1, first_index + row};
        dcsfl_sample_portable.uniform_var(out + row * DEGREE, DEGREE, &stream);
    }
    return out;
}

/* Encrypt one step after the other with portable kernels. */
static void encrypt_slowly(const struct dcsfl_rlwe_masks *masks, const struct dcsfl_ring_scale *scale,
                           const struct dcsfl_stream *errors, uint8_t *out, const uint64_t *words, size_t count) {
    struct dcsfl_ring_factor *factor = aligned_alloc(64, sizeof *factor);
    uint64_t *covered = allocate(count * sizeof *covered), mask[DEGREE];

    dcsfl_ring_portable.prepare(masks->ring, factor, masks->factor);
    for (size_t i = 0; i < count; i += DEGREE) {
        const size_t take = count - i < DEGREE ? count - i : DEGREE;
        const struct dcsfl_stream stream = {errors->seed, errors->domain, errors->index + i / DEGREE};
        int8_t drawn[DEGREE];
        dcsfl_sample_gaussian(&dcsfl_sample_portable, &dcsfl_gaussian_wide, drawn, 1, &stream);
        dcsfl_ring_portable.multiply(masks->ring, mask, masks->polynomials + i, factor);
        dcsfl_ring_portable.cover(scale, covered + i, take, mask, drawn, words + i);
    }
    (void)dcsfl_coefficients_portable.pack(out, covered, count, 50 - scale->dropped_bits);
    free(covered);
    free(factor);
}

static void check(const struct dcsfl_target *target, const struct dcsfl_ring *ring,
                  const struct dcsfl_ring_scale *scale, size_t count) {
    const size_t rows = count / DEGREE + (count % DEGREE != 0);
    const unsigned width = 50 - scale->dropped_bits;
    const size_t bytes = dcsfl_coefficient_bytes(count, width);
    const uint64_t limit = scale->dropped_bits == 0 ? DCSFL_Q : DCSFL_Q >> scale->dropped_bits;
    uint64_t *public = polynomials(rows, 0), *keys = polynomials(CLIENTS, 1000), sum_of_keys[DEGREE] = {0};
    uint64_t *words = allocate(count * sizeof *words), *expected = allocate(count * sizeof *expected);
    uint64_t *sums = allocate(count * sizeof *sums), *decoded = allocate(count * sizeof *decoded);
    uint8_t *packed = allocate(bytes), *slowly = allocate(bytes);

    memset(expected, 0, count * sizeof *expected);
    memset(sums, 0, count * sizeof *sums);
    for (size_t client = 0; client < CLIENTS; client++) {
        const uint8_t seed[DCSFL_SEED_BYTES] = {(uint8_t)client};
        const struct dcsfl_rlwe_masks masks = {ring, public, keys + client * DEGREE};
        const struct dcsfl_stream errors = {seed, DOMAIN, 40};
        for (size_t i = 0; i < count; i++) {
            words[i] = (i * 0x9e3779b97f4a7c15U + client) % ((UINT64_C(1) << scale->plaintext_bits) / CLIENTS);
            expected[i] += words[i];
        }
        memset(packed, 0xa5, bytes);
        expect(dcsfl_rlwe_encrypt(target, &masks, scale, &errors, packed, words, count) == 0, "encrypt has memory",
               target->name, count);
        encrypt_slowly(&masks, scale, &errors, slowly, words, count);
        expect(memcmp(packed, slowly, bytes) == 0, "encrypt is its steps one after the other", target->name, count);
        expect(target->coefficients->unpack(decoded, packed, count, width, limit) == count,
               "coefficients are below the modulus", target->name, count);
        for (size_t i = 0; i < count; i++)
            sums[i] += decoded[i];
        for (size_t i = 0; i < DEGREE; i++)
            sum_of_keys[i] = (sum_of_keys[i] + masks.factor[i]) % DCSFL_Q;
    }
    const struct dcsfl_rlwe_masks total = {ring, public, sum_of_keys};
    expect(dcsfl_rlwe_decrypt(target, &total, scale, decoded, sums, count) == 0, "decrypt has memory", target->name,
           count);
    expect(memcmp(decoded, expected, count * sizeof *decoded) == 0, "a sum decrypts to the sum", target->name, count);
    free(slowly);
    free(packed);
    free(decoded);
    free(sums);
    free(expected);
    free(words);
    free(keys);
    free(public);
}

/* An argument names the one target to check: an emulator may get others wrong, or take long over them. */
int main(int argc, char **argv) {
    const struct dcsfl_ring_scale scales[] = {{38, 6}, {36, 0}, {19, 18}, {2, 30}};
    const size_t counts[] = {0, 1, 7, 8, 9, DEGREE - 1, DEGREE, DEGREE + 1, 3 * DEGREE + 5, MOST_POLYNOMIALS * DEGREE};
    const uint32_t features = dcsfl_cpu_features();
    struct dcsfl_ring *ring = dcsfl_ring_new(LOG2_DEGREE);
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    for (size_t t = 0; t < target_count; t++) {
        if (argc > 1 && strcmp(argv[1], targets[t].name) != 0)
            continue;
        if (!dcsfl_target_runs(&targets[t], features)) {
            (void)printf("%s: does not run here\n", targets[t].name);
            continue;
        }
        for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++)
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
                check(&targets[t], ring, &scales[s], counts[c]);
        (void)printf("%s: checked\n", targets[t].name);
    }
    dcsfl_ring_free(ring);
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0 || comparisons == 0;
}
