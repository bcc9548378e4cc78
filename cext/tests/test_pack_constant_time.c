/*
 * Constant time, after the method of secp256k1's ctime_tests.c: fields are marked undefined, so valgrind
 * reports any branch or address in a kernel that depends on them. Run under valgrind --error-exitcode=1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/memcheck.h>

#include "../cpu.h"
#include "../dispatch.h"

enum { COUNT = 1000 };

static uint32_t fields[COUNT];
static uint8_t words[COUNT * 64];

/* Every width in one layout: pack secret fields, unpack secret words. Only pack's result is public. */
static void run(const struct dcsfl_target *target, const struct dcsfl_pack_layout *layout) {
    const size_t bytes = dcsfl_pack_word_count(layout, COUNT) * layout->word_bytes;
    int out_of_range;

    for (size_t i = 0; i < COUNT; i++)
        fields[i] = 1;
    (void)VALGRIND_MAKE_MEM_UNDEFINED(fields, sizeof fields);
    out_of_range = target->pack->pack(layout, words, bytes, fields, COUNT);
    (void)VALGRIND_MAKE_MEM_DEFINED(&out_of_range, sizeof out_of_range);
    if (out_of_range) {
        (void)fprintf(stderr, "%s: 1 does not fit %u bits\n", target->name, (unsigned)layout->field_bits);
        exit(2);
    }
    (void)VALGRIND_MAKE_MEM_UNDEFINED(words, sizeof words);
    target->pack->unpack(layout, fields, COUNT, words, bytes);
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
        for (uint32_t field_bits = 1; field_bits <= 32; field_bits++) {
            const struct dcsfl_pack_layout small = {field_bits, 64 / field_bits, 8};
            const struct dcsfl_pack_layout large = {field_bits, 8 * 50 / field_bits, 64};
            run(&targets[t], &small);
            run(&targets[t], &large);
        }
        (void)printf("%s: no branch or address depends on the fields\n", targets[t].name);
    }
    return 0;
}
