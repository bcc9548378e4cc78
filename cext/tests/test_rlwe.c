/*
 * Vectors of the rlwe scheme on every target that runs here: what is encrypted is what the kernels give step by step,
 * polynomial by polynomial; sums decrypt to sums of fields; lengths around a polynomial, in buffers of exact size.
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
    (void)fprintf(stderr, "%s: %s (%zu fields)\n", target, claim, count);
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

static struct dcsfl_ring_scale scale_of(const struct dcsfl_rlwe_layout *layout) {
    const struct dcsfl_ring_scale scale = {layout->words.field_bits * (unsigned)layout->words.fields_per_word,
                                           layout->dropped_bits};
    return scale;
}

/* Encrypt one step after the other with portable kernels. */
static void encrypt_slowly(const struct dcsfl_rlwe_masks *masks, const struct dcsfl_rlwe_layout *layout,
                           const struct dcsfl_stream *errors, uint8_t *out, const uint32_t *fields, size_t count) {
    const struct dcsfl_ring_scale scale = scale_of(layout);
    const size_t coefficients = dcsfl_pack_word_count(&layout->words, count);
    struct dcsfl_ring_factor *factor = aligned_alloc(64, sizeof *factor);
    uint64_t *words = allocate(coefficients * sizeof *words), mask[DEGREE];

    (void)dcsfl_pack_portable.pack(&layout->words, (uint8_t *)words, coefficients * sizeof *words, fields, count);
    dcsfl_ring_portable.prepare(masks->ring, factor, masks->factor);
    for (size_t i = 0; i < coefficients; i += DEGREE) {
        const size_t take = coefficients - i < DEGREE ? coefficients - i : DEGREE;
        const struct dcsfl_stream stream = {errors->seed, errors->domain, errors->index + i / DEGREE};
        int8_t drawn[DEGREE];
        dcsfl_sample_gaussian(&dcsfl_sample_portable, &dcsfl_gaussian_wide, drawn, 1, &stream);
        dcsfl_ring_portable.multiply(masks->ring, mask, masks->polynomials + i, factor);
        dcsfl_ring_portable.cover(&scale, words + i, take, mask, drawn, words + i);
    }
    (void)dcsfl_coefficients_portable.pack(out, words, coefficients, 50 - scale.dropped_bits);
    free(words);
    free(factor);
}

static void check(const struct dcsfl_target *target, const struct dcsfl_ring *ring,
                  const struct dcsfl_rlwe_layout *layout, size_t count) {
    const size_t coefficients = dcsfl_pack_word_count(&layout->words, count);
    const size_t rows = coefficients / DEGREE + (coefficients % DEGREE != 0);
    const unsigned width = 50 - layout->dropped_bits;
    const size_t bytes = dcsfl_coefficient_bytes(coefficients, width);
    const uint64_t limit = layout->dropped_bits == 0 ? DCSFL_Q : DCSFL_Q >> layout->dropped_bits;
    uint64_t *public = polynomials(rows, 0), *keys = polynomials(CLIENTS, 1000), sum_of_keys[DEGREE] = {0};
    uint32_t *fields = allocate(count * sizeof *fields), *expected = allocate(count * sizeof *expected);
    uint32_t *decrypted = allocate(count * sizeof *decrypted);
    uint64_t *sums = allocate(coefficients * sizeof *sums), *decoded = allocate(coefficients * sizeof *decoded);
    uint8_t *packed = allocate(bytes), *slowly = allocate(bytes);

    memset(expected, 0, count * sizeof *expected);
    memset(sums, 0, coefficients * sizeof *sums);
    for (size_t client = 0; client < CLIENTS; client++) {
        const uint8_t seed[DCSFL_SEED_BYTES] = {(uint8_t)client};
        const struct dcsfl_rlwe_masks masks = {ring, public, keys + client * DEGREE};
        const struct dcsfl_stream errors = {seed, DOMAIN, 40};
        for (size_t i = 0; i < count; i++) {
            fields[i] = (uint32_t)((i * 0x9e3779b97f4a7c15U + client) %
                                   ((UINT64_C(1) << layout->words.field_bits) / CLIENTS));
            expected[i] += fields[i];
        }
        memset(packed, 0xa5, bytes);
        expect(dcsfl_rlwe_encrypt(target, &masks, layout, &errors, packed, fields, count) == 0, "encrypt has memory",
               target->name, count);
        encrypt_slowly(&masks, layout, &errors, slowly, fields, count);
        expect(memcmp(packed, slowly, bytes) == 0, "encrypt is its steps one after the other", target->name, count);
        expect(target->coefficients->unpack(decoded, packed, coefficients, width, limit) == coefficients,
               "coefficients are below the modulus", target->name, count);
        for (size_t i = 0; i < coefficients; i++)
            sums[i] += decoded[i];
        for (size_t i = 0; i < DEGREE; i++)
            sum_of_keys[i] = (sum_of_keys[i] + masks.factor[i]) % DCSFL_Q;
    }
    const struct dcsfl_rlwe_masks total = {ring, public, sum_of_keys};
    expect(dcsfl_rlwe_decrypt(target, &total, layout, decrypted, sums, count) == 0, "decrypt has memory",
           target->name, count);
    expect(memcmp(decrypted, expected, count * sizeof *decrypted) == 0, "a sum decrypts to the sum", target->name,
           count);
    free(slowly);
    free(packed);
    free(decoded);
    free(sums);
    free(decrypted);
    free(expected);
    free(fields);
    free(keys);
    free(public);
}

/* The field at either end, and a value of a polynomial at either end, out of range. */
static void check_refusals(const struct dcsfl_target *target, const struct dcsfl_ring *ring,
                           const struct dcsfl_rlwe_layout *layout) {
    enum { COUNT = 2 * DEGREE };
    const size_t coefficients = dcsfl_pack_word_count(&layout->words, COUNT);
    const size_t rows = coefficients / DEGREE + (coefficients % DEGREE != 0), values = rows * DEGREE;
    const uint8_t seed[DCSFL_SEED_BYTES] = {0};
    const struct dcsfl_stream errors = {seed, DOMAIN, 40};
    uint64_t *public = polynomials(rows, 0), *key = polynomials(1, 1000);
    const struct dcsfl_rlwe_masks masks = {ring, public, key};
    uint8_t *out = allocate(dcsfl_coefficient_bytes(coefficients, 50));
    uint64_t *sums = allocate(coefficients * sizeof *sums);
    uint32_t fields[COUNT] = {0};

    memset(sums, 0, coefficients * sizeof *sums);
    for (size_t last = 0; last < 2; last++) {
        uint64_t *value = public + last * (values - 1);
        const uint64_t before = *value;
        fields[last * (COUNT - 1)] = UINT32_C(1) << layout->words.field_bits;
        expect(dcsfl_rlwe_encrypt(target, &masks, layout, &errors, out, fields, COUNT) == DCSFL_RLWE_BAD_FIELDS,
               "a field out of range is found", target->name, last);
        fields[last * (COUNT - 1)] = 0;
        for (unsigned top = 0; top < 2; top++) {
            *value = top ? UINT64_MAX : DCSFL_Q;
            expect(dcsfl_rlwe_encrypt(target, &masks, layout, &errors, out, fields, COUNT) ==
                       DCSFL_RLWE_BAD_POLYNOMIALS,
                   "a value of q or more is found", target->name, last);
            expect(dcsfl_rlwe_decrypt(target, &masks, layout, fields, sums, COUNT) == DCSFL_RLWE_BAD_POLYNOMIALS,
                   "a value of q or more is found at decryption", target->name, last);
            memset(fields, 0, sizeof fields);
        }
        *value = before;
    }
    free(sums);
    free(out);
    free(key);
    free(public);
}

/* An argument names the one target to check: an emulator may get others wrong, or take long over them. */
int main(int argc, char **argv) {
    const struct dcsfl_rlwe_layout layouts[] = {
        {{19, 2, 8}, 6}, {{18, 2, 8}, 0}, {{19, 1, 8}, 18}, {{2, 1, 8}, 30}, {{11, 4, 8}, 0}, {{8, 5, 8}, 4},
    };
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
        for (size_t l = 0; l < sizeof layouts / sizeof layouts[0]; l++) {
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
                check(&targets[t], ring, &layouts[l], counts[c]);
            check_refusals(&targets[t], ring, &layouts[l]);
        }
        (void)printf("%s: checked\n", targets[t].name);
    }
    dcsfl_ring_free(ring);
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0 || comparisons == 0;
}
