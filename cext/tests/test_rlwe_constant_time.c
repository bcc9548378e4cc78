/*
 * Constant time, after the method of secp256k1's ctime_tests.c: fields, one-time key and the errors' seed are marked
 * undefined, so valgrind reports any branch or address that depends on them. Run under valgrind --error-exitcode=1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/memcheck.h>

#include "../cpu.h"
#include "../dispatch.h"
#include "../rlwe/vector.h"

enum { LOG2_DEGREE = 11, DEGREE = 1 << LOG2_DEGREE, COEFFICIENTS = 2 * DEGREE + 5, ROWS = 3, COUNT = 2 * COEFFICIENTS };

static uint64_t polynomials[ROWS * DEGREE], factor[DEGREE], sums[COEFFICIENTS];
static uint32_t fields[COUNT];
static uint8_t packed[COEFFICIENTS * 7];
static uint8_t seed[DCSFL_SEED_BYTES];

static void run(const struct dcsfl_target *target, const struct dcsfl_ring *ring) {
    const struct dcsfl_rlwe_masks masks = {ring, polynomials, factor};
    const struct dcsfl_rlwe_layout layout = {{19, 2, 8}, 6};
    const struct dcsfl_stream errors = {seed, 7, 0};
    int found;

    for (size_t i = 0; i < COUNT; i++)
        fields[i] = (uint32_t)i & 0x7ffff;
    for (size_t i = 0; i < DEGREE; i++)
        factor[i] = i;
    (void)VALGRIND_MAKE_MEM_UNDEFINED(fields, sizeof fields);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(factor, sizeof factor);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(seed, sizeof seed);
    found = dcsfl_rlwe_encrypt(target, &masks, &layout, &errors, packed, fields, COUNT);
    (void)VALGRIND_MAKE_MEM_DEFINED(&found, sizeof found); /* that a field is out of range is public */
    if (found != 0)
        exit(2);
    /* sums are public, the sum of keys is not */
    if (dcsfl_rlwe_decrypt(target, &masks, &layout, fields, sums, COUNT) != 0)
        exit(2);
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    struct dcsfl_ring *ring = dcsfl_ring_new(LOG2_DEGREE);
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    if (!RUNNING_ON_VALGRIND) {
        (void)fprintf(stderr, "run me under valgrind: without it nothing is checked\n");
        return 2;
    }
    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features))
            continue;
        run(&targets[t], ring);
        (void)printf("%s: no branch or address depends on fields, key or errors\n", targets[t].name);
    }
    dcsfl_ring_free(ring);
    return 0;
}
