/*
 * Coefficients as a bit stream, one at a time and eight at a time: what the portable kernels are made of and what
 * the vector kernels finish a buffer with. `static inline`, so that a copy compiled for an instruction set stays
 * inside the file compiled for it.
 */
#ifndef DCSFL_COEFFICIENT_STREAM_H
#define DCSFL_COEFFICIENT_STREAM_H

#include "../verify.h"
#include "coefficients.h"
#include "stream.h"

/* A coefficient that starts inside a byte ends in the 8 bytes from there: 7 + 56 bits. */
#define DCSFL_COEFFICIENT_REACH_BYTES 8

/*
 * From this width on a byte holds bits of two coefficients at most, so that what a coefficient's first byte needs
 * from below is in the one before it.
 */
#define DCSFL_COEFFICIENT_MIN_GROUP_WIDTH 7

/* The bits a coefficient must not have, [width, 64). */
static inline uint64_t dcsfl_coefficient_excess_mask(unsigned width) {
    return ~UINT64_C(0) << width;
}

/* Write words[0..count) from bit 0 of `out`, and nothing past their last byte. Returns the OR of the words. */
static inline uint64_t dcsfl_pack_coefficient_stream(uint8_t *out, const uint64_t *words, size_t count,
                                                     unsigned width) {
    const uint64_t kept = ~dcsfl_coefficient_excess_mask(width);
    uint64_t seen = 0, pending = 0;
    unsigned pending_bits = 0; /* below 8 between coefficients: one always fits on top */

    for (size_t i = 0; i < count; i++) {
        seen |= words[i];
        pending |= (words[i] & kept) << pending_bits;
        for (pending_bits += width; pending_bits >= 8; pending_bits -= 8, pending >>= 8)
            *out++ = (uint8_t)pending;
    }
    if (pending_bits > 0)
        *out = (uint8_t)pending;
    return seen;
}

/* Fill out[0..count) from bit 0 of `in`, reading nothing past their last byte. */
static inline void dcsfl_unpack_coefficient_stream(uint64_t *out, const uint8_t *in, size_t count, unsigned width) {
    const uint64_t kept = ~dcsfl_coefficient_excess_mask(width);
    uint64_t pending = 0;
    unsigned pending_bits = 0;

    for (size_t i = 0; i < count; i++) {
        for (; pending_bits < width; pending_bits += 8)
            pending |= (uint64_t)*in++ << pending_bits;
        out[i] = pending & kept;
        pending >>= width;
        pending_bits -= width;
    }
}

/* How many of the count / 8 groups of eight can touch `reach` bytes from their last coefficient's first byte on. */
static inline size_t dcsfl_coefficient_groups(size_t count, unsigned width, unsigned last_byte, unsigned reach) {
    const size_t bytes = dcsfl_coefficient_bytes(count, width);
    const size_t touched = (size_t)last_byte + reach;
    size_t fitting;

    if (bytes < touched)
        return 0;
    fitting = (bytes - touched) / width + 1;
    return count / 8 < fitting ? count / 8 : fitting;
}

/* The first of values[0..count) that is not in [0, limit), or count. */
static inline size_t dcsfl_first_at_or_above(const uint64_t *values, size_t count, uint64_t limit) {
    size_t i = 0;

    while (i < count && values[i] < limit)
        i++;
    return i;
}

/* The contracts of both kernels, as far as they can be checked beforehand. */
static inline void dcsfl_coefficients_verify(const uint64_t *words, size_t count, const uint8_t *bytes,
                                             unsigned width) {
    DCSFL_VERIFY(width >= 1 && width <= DCSFL_COEFFICIENT_MAX_WIDTH);
    DCSFL_VERIFY((uintptr_t)words % _Alignof(uint64_t) == 0);
    DCSFL_VERIFY(count == 0 || (words != NULL && bytes != NULL));
    DCSFL_VERIFY(count == 0 || (uintptr_t)words >= (uintptr_t)bytes + dcsfl_coefficient_bytes(count, width) ||
                 (uintptr_t)bytes >= (uintptr_t)words + count * sizeof *words);
    (void)words, (void)count, (void)bytes, (void)width;
}

#endif
