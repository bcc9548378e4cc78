/*
 * Every coefficient target that runs here against a bit-by-bit oracle: all widths, counts around the vector lengths,
 * exact-size heap buffers (so that a sanitizer sees the first byte too far) at odd addresses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cpu.h"
#include "../dispatch.h"

static unsigned failures = 0;
static unsigned comparisons = 0;

static void expect(int holds, const char *claim, const char *target, unsigned width, size_t count) {
    comparisons++;
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s: %s (%u bits, %zu coefficients)\n", target, claim, width, count);
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes == 0 ? 1 : bytes);
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

/* Marsaglia's xorshift64: repeatable values, no more is needed here. */
static uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t largest(unsigned width) {
    return (UINT64_C(1) << width) - 1;
}

static void oracle_pack(uint8_t *out, size_t out_bytes, const uint64_t *words, size_t count, unsigned width) {
    memset(out, 0, out_bytes);
    for (size_t i = 0; i < count; i++)
        for (unsigned b = 0; b < width; b++) {
            const size_t bit = i * width + b;
            if ((words[i] >> b & 1) != 0)
                out[bit / 8] = (uint8_t)(out[bit / 8] | 1U << bit % 8);
        }
}

/* Words for which every limit up to `limit` is met, the edges among them. */
static void fill(uint64_t *words, size_t count, uint64_t limit, uint64_t *seed) {
    for (size_t i = 0; i < count; i++) {
        const uint64_t value = next_random(seed);
        const uint64_t edges[] = {0, 1 % limit, limit - 1};
        words[i] = value % 8 < 3 ? edges[value % 8] : (value >> 3) % limit;
    }
}

/* One word at a time is `limit` or more: unpack stops there, and has filled what comes before. */
static void check_limits(const struct dcsfl_target *target, uint64_t *words, uint8_t *bytes, uint64_t *unpacked,
                         size_t count, unsigned width, uint64_t limit) {
    for (size_t bad = 0; bad < count && limit <= largest(width); bad += 1 + count / 9) {
        const uint64_t kept = words[bad];
        const size_t later = bad + (count - bad) / 2;
        const uint64_t kept_later = words[later];

        words[later] = largest(width); /* the first one counts */
        words[bad] = limit;
        (void)target->coefficients->pack(bytes, words, count, width);
        expect(target->coefficients->unpack(unpacked, bytes, count, width, limit) == bad,
               "unpack stops at the first coefficient out of range", target->name, width, count);
        expect(memcmp(unpacked, words, bad * sizeof *words) == 0, "unpack fills what comes before it",
               target->name, width, count);
        words[later] = kept_later;
        words[bad] = kept;
    }
}

static void check_words_out_of_range(const struct dcsfl_target *target, uint64_t *words, uint8_t *bytes, size_t count,
                                     unsigned width) {
    for (size_t bad = 0; bad < count; bad += 1 + count / 9) {
        const uint64_t kept = words[bad];
        words[bad] = bad % 2 == 0 ? largest(width) + 1 : UINT64_C(1) << 63;
        expect(target->coefficients->pack(bytes, words, count, width) == 1, "pack reports a word out of range",
               target->name, width, count);
        words[bad] = kept;
    }
}

static void check_padding(uint8_t *bytes, size_t bytes_length, size_t count, unsigned width) {
    for (size_t bit = count * width; bit < 8 * bytes_length; bit++) {
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1U << bit % 8);
        expect(!dcsfl_coefficient_padding_is_zero(bytes, count, width), "a set padding bit is seen", "any", width,
               count);
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1U << bit % 8);
    }
    expect(dcsfl_coefficient_padding_is_zero(bytes, count, width), "zero padding passes", "any", width, count);
}

static void check_case(const struct dcsfl_target *target, unsigned width, size_t count) {
    const size_t length = (count * width + 7) / 8;
    uint64_t *words = allocate(count * sizeof *words);
    uint64_t *unpacked = allocate(count * sizeof *unpacked);
    uint8_t *expected = allocate(length);
    uint8_t *block = allocate(length + 1);
    uint8_t *bytes = block + 1; /* no alignment is promised for bytes */
    uint64_t seed = 0x9e3779b97f4a7c15U + count;
    const uint64_t limits[] = {largest(width) + 1, largest(width) / 2 + 1, 1};

    expect(dcsfl_coefficient_bytes(count, width) == length, "the length is that of the bits", "any", width, count);
    fill(words, count, largest(width) + 1, &seed);
    oracle_pack(expected, length, words, count, width);
    memset(block, 0xa5, length + 1);
    expect(target->coefficients->pack(bytes, words, count, width) == 0, "pack accepts words in range", target->name,
           width, count);
    expect(memcmp(bytes, expected, length) == 0, "pack agrees with the oracle", target->name, width, count);
    expect(block[0] == 0xa5, "pack writes nothing before out", target->name, width, count);
    check_padding(bytes, length, count, width);

    for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++) {
        fill(words, count, limits[l], &seed);
        oracle_pack(bytes, length, words, count, width);
        if (count * width % 8 != 0) /* ignored by unpack */
            bytes[length - 1] = (uint8_t)(bytes[length - 1] | 0xffU << count * width % 8);
        memset(unpacked, 0xa5, count * sizeof *unpacked);
        expect(target->coefficients->unpack(unpacked, bytes, count, width, limits[l]) == count,
               "unpack accepts coefficients in range", target->name, width, count);
        expect(memcmp(unpacked, words, count * sizeof *words) == 0, "unpack inverts the oracle's pack", target->name,
               width, count);
        check_limits(target, words, bytes, unpacked, count, width, limits[l]);
    }
    check_words_out_of_range(target, words, bytes, count, width);
    free(block);
    free(expected);
    free(unpacked);
    free(words);
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    const size_t counts[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  15,  16,  17,  23,  24,  25,
                             31, 32, 33, 39, 40, 41, 63, 64, 65, 71, 127, 128, 129, 191, 193, 500};
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features)) {
            (void)printf("%s: does not run here\n", targets[t].name);
            continue;
        }
        expect(targets[t].coefficients->pack(NULL, NULL, 0, 43) == 0, "no words need no memory", targets[t].name, 43,
               0);
        expect(targets[t].coefficients->unpack(NULL, NULL, 0, 43, 1) == 0, "no coefficients need no memory",
               targets[t].name, 43, 0);
        for (unsigned width = 1; width <= DCSFL_COEFFICIENT_MAX_WIDTH; width++)
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
                check_case(&targets[t], width, counts[c]);
        (void)printf("%s: checked\n", targets[t].name);
    }
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0;
}
