/*
 * Every checksum target that runs here against a slow oracle, coefficient by coefficient; counts around the blocks,
 * fields and points at their ends, exact-size heap buffers (so that a sanitizer sees the first field too far).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cpu.h"
#include "../dispatch.h"
#include "../wide.h"
#include "oracle.h"

static unsigned failures = 0;
static unsigned comparisons = 0;

static void expect(int holds, const char *claim, const char *target, uint32_t field_bits, size_t count) {
    comparisons++;
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s: %s (%u bits, %zu fields)\n", target, claim, (unsigned)field_bits, count);
}

/* Marsaglia's xorshift64: repeatable values, no more is needed here. */
static uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint32_t largest(uint32_t field_bits) {
    return (uint32_t)((UINT64_C(1) << field_bits) - 1);
}

static struct number number_of(uint64_t value) {
    return from_limbs(&value, 1, 1, 64);
}

static uint64_t oracle_checksum(const uint8_t *point, const uint32_t *fields, size_t count, uint32_t field_bits) {
    const struct number modulus = number_of(DCSFL_CHECKSUM_P);
    const size_t per_coefficient = field_bits <= DCSFL_CHECKSUM_PAIRED_BITS ? 2 : 1;
    struct number x = {0}, power, sum = {0};
    uint64_t result = 0;

    for (size_t i = DCSFL_CHECKSUM_POINT_BYTES; i-- > 0;) {
        const struct number byte = small_number(point[i]), base = small_number(256);
        x = multiply(&x, &base);
        x = add(&x, &byte);
    }
    x = modulo(&x, &modulus);
    power = x;
    for (size_t i = 0; i < count; i += per_coefficient) {
        const uint64_t high = per_coefficient == 2 && i + 1 < count ? fields[i + 1] : 0;
        const struct number coefficient = number_of(high << 32 | fields[i]);
        const struct number product = multiply_modulo(&coefficient, &power, &modulus);
        sum = add(&sum, &product);
        power = multiply_modulo(&power, &x, &modulus);
    }
    sum = modulo(&sum, &modulus);
    to_limbs(&sum, &result, 1, 1, 64);
    return result;
}

static void check_case(const struct dcsfl_target *target, uint32_t field_bits, size_t count, uint64_t *seed) {
    uint32_t *fields = malloc(count == 0 ? 1 : count * sizeof *fields);
    uint8_t point[DCSFL_CHECKSUM_POINT_BYTES];

    if (fields == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(2);
    }
    for (int kind = 0; kind < 5; kind++) {
        for (size_t i = 0; i < count; i++)
            fields[i] = kind == 0 ? largest(field_bits) : (uint32_t)next_random(seed) & largest(field_bits);
        for (size_t i = 0; i < sizeof point; i++)
            point[i] = kind == 0 ? 0xff : (uint8_t)next_random(seed);
        if (kind == 1) /* p itself: x is 0 */
            for (size_t i = 0; i < sizeof point; i++)
                point[i] = (uint8_t)(i < 8 ? DCSFL_CHECKSUM_P >> 8 * i : 0);
        if (kind == 2) { /* p - 1 */
            memset(point, 0, sizeof point);
            for (size_t i = 0; i < 8; i++)
                point[i] = (uint8_t)((DCSFL_CHECKSUM_P - 1) >> 8 * i);
        }
        expect(target->checksum->checksum(point, fields, count, field_bits) ==
                   oracle_checksum(point, fields, count, field_bits),
               "checksum agrees with the oracle", target->name, field_bits, count);
    }
    free(fields);
}

static void check_products(void) {
    uint64_t seed = 0x9e3779b97f4a7c15U;

    for (int i = 0; i < 1000; i++) {
        const uint64_t a = i == 0 ? UINT64_MAX : next_random(&seed), b = i == 0 ? UINT64_MAX : next_random(&seed);
        const struct dcsfl_wide start = {next_random(&seed), next_random(&seed)};
        const struct dcsfl_wide slow = dcsfl_add_product_by_halves(start, a, b), fast = dcsfl_add_product(start, a, b);
        expect(slow.high == fast.high && slow.low == fast.low, "add product by halves", "portable", 64, 1);
    }
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    const size_t counts[] = {0, 1, 2, 3, 63, 64, 65, 127, 128, 129, 192, 193, 255, 256, 257};
    uint64_t seed = 0x9e3779b97f4a7c15U;
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    check_products();
    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features)) {
            (void)printf("%s: does not run here\n", targets[t].name);
            continue;
        }
        for (uint32_t field_bits = 1; field_bits <= 32; field_bits++)
            for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
                check_case(&targets[t], field_bits, counts[i], &seed);
        (void)printf("%s: checked\n", targets[t].name);
    }
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0;
}
