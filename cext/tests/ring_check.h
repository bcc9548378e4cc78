/* What the tests of cext/ring share: claims that count, exact-size memory, repeatable values, slow arithmetic. */
#ifndef DCSFL_TESTS_RING_CHECK_H
#define DCSFL_TESTS_RING_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cpu.h"
#include "../dispatch.h"

static unsigned failures = 0;
static unsigned comparisons = 0;

static inline void expect(int holds, const char *claim, const char *target, size_t a, size_t b, size_t c) {
    comparisons++;
    if (holds)
        return;
    if (failures++ < 100)
        (void)fprintf(stderr, "%s: %s (%zu, %zu, %zu)\n", target, claim, a, b, c);
}

static inline void *allocate(size_t bytes) {
    void *memory = malloc(bytes == 0 ? 1 : bytes);
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

static inline uint64_t *allocate_words(size_t count) {
    return allocate(count * sizeof(uint64_t));
}

/* Marsaglia's xorshift64: repeatable values, no more is needed here. */
static inline uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static inline uint64_t add_mod(uint64_t a, uint64_t b, uint64_t modulus) {
    return a >= modulus - b ? a - (modulus - b) : a + b;
}

/* a b mod q, bit by bit. */
static inline uint64_t oracle_multiply(uint64_t a, uint64_t b) {
    uint64_t product = 0;

    for (int bit = 49; bit >= 0; bit--) {
        product = add_mod(product, product, DCSFL_Q);
        if ((b >> bit & 1) != 0)
            product = add_mod(product, a, DCSFL_Q);
    }
    return product;
}

static inline uint64_t oracle_power(uint64_t base, uint64_t exponent) {
    uint64_t result = 1;

    for (int bit = 63; bit >= 0; bit--) {
        result = oracle_multiply(result, result);
        if ((exponent >> bit & 1) != 0)
            result = oracle_multiply(result, base);
    }
    return result;
}

/* Run `check` on every target that runs here, or on the one named `only`; the exit status of a test. */
static inline int check_targets(void (*check)(const struct dcsfl_target *target), const char *only) {
    const uint32_t features = dcsfl_cpu_features();
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);
    int is_checked = 0;

    for (size_t t = 0; t < target_count; t++) {
        if (only != NULL && strcmp(only, targets[t].name) != 0)
            continue;
        if (!dcsfl_target_runs(&targets[t], features)) {
            (void)printf("%s: does not run here\n", targets[t].name);
            continue;
        }
        check(&targets[t]);
        is_checked = 1;
        (void)printf("%s: checked\n", targets[t].name);
    }
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0 || !is_checked;
}

#endif
