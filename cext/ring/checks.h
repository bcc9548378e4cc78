/* Whether values from outside lie in a kernel's domain. Constant time in them: nothing but the answer comes out. */
#ifndef DCSFL_RING_CHECKS_H
#define DCSFL_RING_CHECKS_H

#include "ring.h"

/* 1 if every value is below q, else 0. */
static inline int dcsfl_ring_are_residues(const uint64_t *values, size_t count) {
    uint64_t seen = 0;

    for (size_t i = 0; i < count; i++) /* one of the two has its top bit set if the value is q or more */
        seen |= values[i] | (DCSFL_Q - 1 - values[i]);
    return seen >> 63 == 0;
}

/* 1 if every value is below 2^bits, bits < 64, else 0. */
static inline int dcsfl_ring_are_words(const uint64_t *values, size_t count, unsigned bits) {
    uint64_t seen = 0;

    for (size_t i = 0; i < count; i++)
        seen |= values[i];
    return seen >> bits == 0;
}

#endif
