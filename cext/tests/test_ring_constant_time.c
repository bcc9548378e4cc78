/*
 * Constant time, after the method of secp256k1's ctime_tests.c: every polynomial, error and word is marked
 * undefined, so valgrind reports any branch or address in a kernel that depends on them. Run under valgrind
 * --error-exitcode=1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/memcheck.h>

#include "../cpu.h"
#include "../dispatch.h"

enum { COUNT = 131 };

static uint64_t poly[DCSFL_RING_MAX_DEGREE];
static uint64_t product[DCSFL_RING_MAX_DEGREE];
static struct dcsfl_ring_factor factor;
static uint64_t out[COUNT], mask[COUNT], words[COUNT];
static int8_t errors[COUNT];

static void run_ring(const struct dcsfl_target *target, const struct dcsfl_ring *ring) {
    (void)VALGRIND_MAKE_MEM_UNDEFINED(poly, sizeof poly);
    target->ring->forward(ring, poly);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(poly, sizeof poly);
    target->ring->prepare(ring, &factor, poly);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(&factor, sizeof factor);
    target->ring->multiply(ring, product, poly, &factor);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(poly, sizeof poly);
    target->ring->inverse(ring, poly);
}

static void run_scale(const struct dcsfl_target *target, const struct dcsfl_ring_scale *scale) {
    (void)VALGRIND_MAKE_MEM_UNDEFINED(mask, sizeof mask);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(words, sizeof words);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(errors, sizeof errors);
    target->ring->cover(scale, out, COUNT, mask, errors, words);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(out, sizeof out);
    target->ring->uncover(scale, out, COUNT, mask, out);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(out, sizeof out);
    target->ring->reduce(scale->dropped_bits, out, COUNT);
}

static void run(const struct dcsfl_target *target) {
    for (unsigned log2 = DCSFL_RING_MIN_LOG2_DEGREE; log2 <= DCSFL_RING_MAX_LOG2_DEGREE; log2++) {
        struct dcsfl_ring *ring = dcsfl_ring_new(log2);
        if (ring == NULL) {
            (void)fprintf(stderr, "out of memory\n");
            exit(2);
        }
        run_ring(target, ring);
        dcsfl_ring_free(ring);
    }
    for (unsigned plaintext_bits = 0; plaintext_bits <= 44; plaintext_bits++)
        for (unsigned dropped_bits = 0; dropped_bits + plaintext_bits <= 44; dropped_bits++) {
            const struct dcsfl_ring_scale scale = {plaintext_bits, dropped_bits};
            run_scale(target, &scale);
        }
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
        run(&targets[t]);
        (void)printf("%s: no branch or address depends on a polynomial, an error or a word\n", targets[t].name);
    }
    return 0;
}
