/*
 * Constant time, after the method of secp256k1's ctime_tests.c: values, noise and sums are marked undefined, so
 * valgrind reports any branch or address in a kernel that depends on them. Run under valgrind --error-exitcode=1.
 *
 * valgrind says nothing of instructions that take longer over some numbers; the kernels keep subnormal ones away
 * from them by construction (codec/codec.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/memcheck.h>

#include "../cpu.h"
#include "../dispatch.h"

enum { COUNT = 1003 };

static float values[COUNT];
static double noise[COUNT];
static uint32_t fields[COUNT];

static void expect_none(uint32_t count, const char *what, const char *target) {
    (void)VALGRIND_MAKE_MEM_DEFINED(&count, sizeof count); /* what a kernel returns is public */
    if (count != 0) {
        (void)fprintf(stderr, "%s: %u values are %s\n", target, (unsigned)count, what);
        exit(2);
    }
}

static void expect_nothing(struct dcsfl_quantised found, const char *target) {
    expect_none(found.saturated, "saturated", target);
    expect_none(found.non_finite, "not finite", target);
}

static void run(const struct dcsfl_target *target, size_t count) {
    const struct dcsfl_quantiser quantiser = {100.0, 127, 128};
    const struct dcsfl_dequantiser dequantiser = {0.01, 128};

    for (size_t i = 0; i < count; i++) {
        values[i] = 0.5F;
        noise[i] = 0.25;
    }
    (void)VALGRIND_MAKE_MEM_UNDEFINED(values, sizeof values);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(noise, sizeof noise);
    expect_nothing(target->codec->quantise(&quantiser, fields, values, count), target->name);
    expect_nothing(target->codec->quantise_noisy(&quantiser, fields, values, noise, count), target->name);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(fields, sizeof fields);
    target->codec->dequantise(&dequantiser, values, fields, count);
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    if (!RUNNING_ON_VALGRIND) {
        (void)fprintf(stderr, "run me under valgrind: without it nothing is checked\n");
        return 2;
    }
    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features))
            continue;
        for (size_t count = 0; count < 20; count++)
            run(&targets[t], count);
        run(&targets[t], COUNT);
        (void)printf("%s: no branch or address depends on a value\n", targets[t].name);
    }
    return 0;
}
