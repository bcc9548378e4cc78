/*
 * Constant time, after the method of secp256k1's ctime_tests.c: words, one-time key and the errors' seed are marked
 * undefined, so valgrind reports any branch or address that depends on them. Run under valgrind --error-exitcode=1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "../cpu.h"
#include "../dispatch.h"
#include "../rlwe/vector.h"

enum { LOG2_DEGREE = 11, DEGREE = 1 << LOG2_DEGREE, COUNT = 2 * DEGREE + 5, ROWS = 3 };

static uint64_t polynomials[ROWS * DEGREE], factor[DEGREE], words[COUNT], sums[COUNT];
static uint8_t packed[COUNT * 7];
static uint8_t seed[DCSFL_SEED_BYTES];

static void run(const struct dcsfl_target *target, const struct dcsfl_ring *ring) {
    const struct dcsfl_rlwe_masks masks = {ring, polynomials, factor};
    const struct dcsfl_ring_scale scale = {38, 6};
    const struct dcsfl_stream errors = {seed, 7, 0};
    int found;

    memset(words, 1, sizeof words);
    for (size_t i = 0; i < COUNT; i++)
        words[i] >>= 64 - 38;
    for (size_t i = 0; i < DEGREE; i++)
        factor[i] = i;
    (void)VALGRIND_MAKE_MEM_UNDEFINED(words, sizeof words);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(factor, sizeof factor);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(seed, sizeof seed);
    found = dcsfl_rlwe_encrypt(target, &masks, &scale, &errors, packed, words, COUNT);
    (void)VALGRIND_MAKE_MEM_DEFINED(&found, sizeof found); /* that a word is out of range is public */
    if (found != 0)
        exit(2);
    /* sums are public, the sum of keys is not */
    if (dcsfl_rlwe_decrypt(target, &masks, &scale, words, sums, COUNT) != 0)
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
        (void)printf("%s: no branch or address depends on words, key or errors\n", targets[t].name);
    }
    dcsfl_ring_free(ring);
    return 0;
}
