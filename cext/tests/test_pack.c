/*
 * Every pack target that runs here against a bit-by-bit oracle: all widths, counts around the vector
 * lengths, exact-size heap buffers (so that a sanitizer sees the first byte too far) at odd addresses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cpu.h"
#include "../dispatch.h"

static unsigned failures = 0;
static unsigned comparisons = 0;

static void expect(int holds, const char *claim, const char *target,
                   const struct dcsfl_pack_layout *layout, size_t count) {
    comparisons++;
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s: %s (%u bits, %zu a word of %zu bytes, %zu fields)\n", target, claim,
                  (unsigned)layout->field_bits, layout->fields_per_word, layout->word_bytes, count);
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
static uint32_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 32);
}

static uint32_t largest(uint32_t field_bits) {
    return (uint32_t)((UINT64_C(1) << field_bits) - 1);
}

static void oracle_pack(const struct dcsfl_pack_layout *layout, uint8_t *out, size_t out_bytes,
                        const uint32_t *fields, size_t count) {
    memset(out, 0, out_bytes);
    for (size_t i = 0; i < count; i++) {
        uint8_t *word = out + i / layout->fields_per_word * layout->word_bytes;
        for (uint32_t b = 0; b < layout->field_bits; b++) {
            const size_t bit = i % layout->fields_per_word * layout->field_bits + b;
            if ((fields[i] >> b & 1) != 0)
                word[bit / 8] = (uint8_t)(word[bit / 8] | 1U << bit % 8);
        }
    }
}

static void check_case(const struct dcsfl_target *target, const struct dcsfl_pack_layout *layout,
                       size_t count) {
    const size_t bytes = dcsfl_pack_word_count(layout, count) * layout->word_bytes;
    uint32_t *fields = allocate(count * sizeof *fields);
    uint32_t *unpacked = allocate(count * sizeof *unpacked);
    uint8_t *expected = allocate(bytes);
    uint8_t *block = allocate(bytes + 1);
    uint8_t *words = block + 1; /* no alignment is promised for words */
    uint64_t seed = 0x9e3779b97f4a7c15U + count;

    for (size_t i = 0; i < count; i++) {
        const uint32_t value = next_random(&seed);
        fields[i] = value % 4 == 0 ? largest(layout->field_bits) : value & largest(layout->field_bits);
    }
    oracle_pack(layout, expected, bytes, fields, count);
    memset(block, 0xa5, bytes + 1);
    expect(target->pack->pack(layout, words, bytes, fields, count) == 0, "pack accepts fields in range",
           target->name, layout, count);
    expect(memcmp(words, expected, bytes) == 0, "pack agrees with the oracle", target->name, layout, count);
    expect(block[0] == 0xa5, "pack writes nothing before out", target->name, layout, count);

    memset(unpacked, 0xa5, count * sizeof *unpacked);
    target->pack->unpack(layout, unpacked, count, words, bytes);
    expect(memcmp(unpacked, fields, count * sizeof *fields) == 0, "unpack inverts pack", target->name, layout,
           count);

    if (layout->field_bits < 32)
        for (size_t i = 0; i < count; i += 1 + count / 7) {
            const uint32_t kept = fields[i];
            fields[i] = largest(layout->field_bits) + 1;
            expect(target->pack->pack(layout, words, bytes, fields, count) == 1,
                   "pack reports a field out of range", target->name, layout, count);
            fields[i] = kept;
        }
    free(block);
    free(expected);
    free(unpacked);
    free(fields);
}

static void check_layout(const struct dcsfl_target *target, const struct dcsfl_pack_layout *layout) {
    const size_t k = layout->fields_per_word;
    const size_t counts[] = {0,         1,         7,         8,         9,         k - 1,     k,        k + 1,
                             2 * k - 1, 2 * k + 1, 4 * k - 1, 4 * k + 1, 4 * k + 4, 7 * k + 2, 13 * k + 5};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        check_case(target, layout, counts[i]);
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    const size_t word_sizes[] = {4, 8, 9, 16, 31, 33, 64, 384};
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features)) {
            (void)printf("%s: does not run here\n", targets[t].name);
            continue;
        }
        for (uint32_t field_bits = 1; field_bits <= 32; field_bits++)
            for (size_t s = 0; s < sizeof word_sizes / sizeof word_sizes[0]; s++) {
                const size_t most = 8 * word_sizes[s] / field_bits;
                for (size_t k = 1; k <= most; k = k < 17 || k == most ? k + 1 : most) {
                    const struct dcsfl_pack_layout layout = {field_bits, k, word_sizes[s]};
                    check_layout(&targets[t], &layout);
                }
            }
        (void)printf("%s: checked\n", targets[t].name);
    }
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0;
}
