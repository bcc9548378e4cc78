/* What the tests of cext/bigint share: a modulus at a target, values at the ends of what the contracts allow, main. */
#ifndef DCSFL_BIGINT_CHECK_H
#define DCSFL_BIGINT_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bigint/exponent.h"
#include "../bigint/limbs.h"
#include "../cpu.h"
#include "../dispatch.h"
#include "oracle.h"

static unsigned failures = 0;
static unsigned comparisons = 0;

struct context {
    const char *target;
    const struct dcsfl_bigint_kernels *kernels;
    size_t bits;
    struct dcsfl_modulus modulus;
    struct number n, square, r; /* r = 2^(limb_bits * limbs) */
    uint64_t *constants, *scratch;
};

static inline void expect(const struct context *c, int holds, const char *claim, size_t lane) {
    comparisons++;
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s: %s (%zu bits, lane %zu)\n", c->target, claim, c->bits, lane);
}

/* Words at the alignment of the kernels' arrays, and nothing after them. */
static inline uint64_t *allocate(size_t words) {
    const size_t bytes = words * sizeof(uint64_t);
    void *memory = bytes % DCSFL_BIGINT_ALIGNMENT == 0 ? aligned_alloc(DCSFL_BIGINT_ALIGNMENT, bytes) : malloc(bytes);

    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(2);
    }
    memset(memory, 0xa5, bytes);
    return (uint64_t *)memory;
}

/* Marsaglia's xorshift64: repeatable values, no more is needed here. */
static inline uint64_t next_random(void) {
    static uint64_t seed = 0x9e3779b97f4a7c15U;

    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static inline struct number random_below(const struct number *bound) {
    struct number a = {.words = bound->words};

    for (size_t i = 0; i < a.words; i++)
        a.word[i] = (uint32_t)(next_random() >> 32);
    trim(&a);
    return modulo(&a, bound);
}

/* 0, 1, n - 1, n, the largest below factor * n, then at random; `which` counts on. */
static inline struct number edge_below(const struct context *c, uint32_t factor, size_t which) {
    const struct number one = small_number(1), times = small_number(factor);
    struct number bound = multiply(&c->n, &times), value = c->n;

    switch (which % 7) {
    case 0:
        return small_number(0);
    case 1:
        return one;
    case 2:
        subtract_from(&value, &one);
        return value;
    case 3:
        return factor == 1 ? one : value;
    case 4:
        subtract_from(&bound, &one);
        return bound;
    default:
        return random_below(&bound);
    }
}

static inline void open_modulus(struct context *c, const struct number *n) {
    const size_t limbs = dcsfl_limbs_for(c->kernels, c->bits), exponent = limbs * c->kernels->limb_bits;
    const struct number one = small_number(1), two = small_number(2);
    struct number lift, negative, inverse = one, rest;
    uint64_t *at;

    c->n = *n;
    c->square = multiply(n, n);
    c->r = power_of_two(exponent);
    rest = modulo(&c->r, n);
    lift = add(n, &one);
    subtract_from(&lift, &rest);
    negative = c->r;
    subtract_from(&negative, n);
    /* Newton: x <- x (2 + x * negative) mod R doubles the digits of -1/negative = 1/n mod R. */
    for (size_t digits = 1; digits < exponent; digits *= 2) {
        struct number step = multiply(&inverse, &negative);
        step = add(&step, &two);
        cut(&step, exponent);
        inverse = multiply(&inverse, &step);
        cut(&inverse, exponent);
    }
    rest = c->r;
    subtract_from(&rest, &inverse);
    at = c->constants = allocate(4 * limbs);
    to_limbs(n, at, limbs, 1, c->kernels->limb_bits);
    to_limbs(&lift, at + limbs, limbs, 1, c->kernels->limb_bits);
    to_limbs(&negative, at + 2 * limbs, limbs, 1, c->kernels->limb_bits);
    to_limbs(&rest, at + 3 * limbs, limbs, 1, c->kernels->limb_bits);
    c->modulus = (struct dcsfl_modulus){limbs, at, at + limbs, at + 2 * limbs, at + 3 * limbs};
    c->scratch = allocate(dcsfl_scratch_words(c->kernels, limbs));
}

static inline void close_modulus(struct context *c) {
    free(c->scratch);
    free(c->constants);
}

static inline void put_lane(const struct context *c, uint64_t *out, const struct number *a, size_t limbs, size_t lane) {
    to_limbs(a, out + lane, limbs, c->kernels->lanes, c->kernels->limb_bits);
}

static inline struct number lane_of(const struct context *c, const uint64_t *in, size_t limbs, size_t lane) {
    return from_limbs(in + lane, limbs, c->kernels->lanes, c->kernels->limb_bits);
}

/* low + high * n mod n^2, of two halves of `limbs` limbs. */
static inline struct number value_of(const struct context *c, const uint64_t *element, size_t lane) {
    const size_t limbs = c->modulus.limbs;
    const struct number low = lane_of(c, element, limbs, lane);
    const struct number high = lane_of(c, element + limbs * c->kernels->lanes, limbs, lane);
    struct number sum = multiply(&high, &c->n);

    sum = add(&sum, &low);
    return modulo(&sum, &c->square);
}

static inline int below(const struct context *c, const struct number *a, uint32_t factor, uint32_t more) {
    const struct number times = small_number(factor), rest = small_number(more);
    struct number bound = multiply(&c->n, &times);

    bound = add(&bound, &rest);
    return compare(a, &bound) < 0;
}

/* y0 (1 + v n) of a factor, x0 (1 + s n) + w n of a state, mod n^2. */
static inline struct number value_of_state(const struct context *c, const struct number *x0, const struct number *s,
                                    const struct number *w) {
    struct number sum = multiply(x0, s);

    sum = add(&sum, w);
    sum = multiply(&sum, &c->n);
    sum = add(&sum, x0);
    return modulo(&sum, &c->square);
}

/* The result of main. `only` names the one target to check, as emulate_avx512.sh needs it: the others run natively. */
static inline int check_targets(void (*check)(const char *name, const struct dcsfl_bigint_kernels *kernels),
                                const char *only) {
    const uint32_t features = dcsfl_cpu_features();
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    for (size_t t = 0; t < target_count; t++) {
        if (only != NULL && strcmp(only, targets[t].name) != 0)
            continue;
        if (dcsfl_target_runs(&targets[t], features))
            check(targets[t].name, targets[t].bigint);
        else
            (void)printf("%s: does not run here\n", targets[t].name);
    }
    if (only == NULL || strcmp(only, "words") == 0)
        check("words", &dcsfl_bigint_words); /* what portable is where there is no SSE2 */
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0 || comparisons == 0;
}

#endif
