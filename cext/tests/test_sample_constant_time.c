/*
 * Constant time, after the method of secp256k1's ctime_tests.c: the seed, and for the mapping the stream, are marked
 * undefined, so valgrind reports any branch or address in a kernel that depends on them. Run under valgrind
 * --error-exitcode=1. Uniform residues are public and left out.
 */
#include <stdio.h>
#include <valgrind/memcheck.h>

#include "../cpu.h"
#include "../dispatch.h"
#include "../sample/gaussian.h"

enum { GROUPS = 67 };

static uint8_t seed[DCSFL_SEED_BYTES];
static uint8_t bytes[GROUPS * DCSFL_GAUSSIAN_GROUP_BYTES];
static int8_t samples[GROUPS * DCSFL_GAUSSIAN_GROUP];

/* Whole batches and remainders of blocks, whole pieces and remainders of groups; nothing of it becomes public. */
static void run(const struct dcsfl_sample_kernels *kernels, const struct dcsfl_gaussian_table *table) {
    const struct dcsfl_stream stream = {seed, 1, 2};

    for (size_t blocks = 0; blocks <= 34; blocks++)
        kernels->chacha20(bytes, blocks, &stream, 3);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, sizeof bytes);
    for (size_t groups = 0; groups <= 5; groups++)
        kernels->gaussian(table, samples, groups, bytes);
    dcsfl_sample_gaussian(kernels, table, samples, GROUPS, &stream);
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    if (!RUNNING_ON_VALGRIND) {
        (void)fprintf(stderr, "run me under valgrind: without it nothing is checked\n");
        return 2;
    }
    (void)VALGRIND_MAKE_MEM_UNDEFINED(seed, sizeof seed);
    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features))
            continue;
        run(targets[t].sample, &dcsfl_gaussian_narrow);
        run(targets[t].sample, &dcsfl_gaussian_wide);
        (void)printf("%s: no branch or address depends on the seed or the stream\n", targets[t].name);
    }
    return 0;
}
