/* Whether values from outside lie in a kernel's domain; compiled for each target, as it is run over every argument. */
#ifndef DCSFL_RING_CHECKS_H
#define DCSFL_RING_CHECKS_H

#include "ring.h"

/* The contract of dcsfl_ring_are_below_fn. */
static inline int dcsfl_ring_are_below(const uint64_t *values, size_t count, uint64_t limit) {
    uint64_t seen = 0;

    for (size_t i = 0; i < count; i++) /* one of the two has its top bit set if the value is limit or more */
        seen |= values[i] | (limit - 1 - values[i]);
    return seen >> 63 == 0;
}

#endif
