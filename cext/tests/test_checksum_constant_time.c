/*
 * Constant time, after the method of secp256k1's ctime_tests.c: fields and point are marked undefined, so valgrind
 * reports any branch or address in a kernel that depends on them. Run under valgrind --error-exitcode=1.
 */
#include <stdio.h>
#include <valgrind/memcheck.h>

#include "../cpu.h"
#include "../dispatch.h"

enum { COUNT = 1003 };

static uint32_t fields[COUNT];
static uint8_t point[DCSFL_CHECKSUM_POINT_BYTES];

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    uint64_t seen = 0;
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    if (!RUNNING_ON_VALGRIND) {
        (void)fprintf(stderr, "run me under valgrind: without it nothing is checked\n");
        return 2;
    }
    (void)VALGRIND_MAKE_MEM_UNDEFINED(fields, sizeof fields);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(point, sizeof point);
    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features))
            continue;
        for (uint32_t field_bits = 1; field_bits <= 32; field_bits++) {
            for (size_t count = 0; count < 4; count++)
                seen |= targets[t].checksum->checksum(point, fields, count, field_bits);
            seen |= targets[t].checksum->checksum(point, fields, COUNT, field_bits);
        }
        (void)printf("%s: no branch or address depends on the fields or the point\n", targets[t].name);
    }
    (void)VALGRIND_MAKE_MEM_DEFINED(&seen, sizeof seen); /* used, so that no compiler leaves the calls out */
    (void)printf("%s\n", seen == 0 ? "" : "done");
    return 0;
}
