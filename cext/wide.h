/* Products of 64 by 64 bits, with and without a 128-bit type. */
#ifndef DCSFL_WIDE_H
#define DCSFL_WIDE_H

#include <stdint.h>

/* floor(a b / 2^64) from products of halves, for compilers that know no 128-bit type. */
static inline uint64_t dcsfl_mulhi64_by_halves(uint64_t a, uint64_t b) {
    const uint64_t a_low = a & UINT32_MAX, a_high = a >> 32;
    const uint64_t b_low = b & UINT32_MAX, b_high = b >> 32;
    const uint64_t low = a_low * b_low;
    const uint64_t middle = a_high * b_low + (low >> 32); /* below 2^64: (2^32 - 1)^2 + 2^32 - 1 */
    const uint64_t other = a_low * b_high + (middle & UINT32_MAX);

    return a_high * b_high + (middle >> 32) + (other >> 32);
}

/* A number of 128 bits. */
struct dcsfl_wide {
    uint64_t high;
    uint64_t low;
};

/* sum + a b mod 2^128. */
static inline struct dcsfl_wide dcsfl_add_product_by_halves(struct dcsfl_wide sum, uint64_t a, uint64_t b) {
    const uint64_t low = a * b;

    sum.low += low;
    sum.high += dcsfl_mulhi64_by_halves(a, b) + (sum.low < low);
    return sum;
}

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 dcsfl_uint128;

static inline uint64_t dcsfl_mulhi64(uint64_t a, uint64_t b) {
    return (uint64_t)((dcsfl_uint128)a * b >> 64);
}

static inline struct dcsfl_wide dcsfl_add_product(struct dcsfl_wide sum, uint64_t a, uint64_t b) {
    const dcsfl_uint128 total = ((dcsfl_uint128)sum.high << 64 | sum.low) + (dcsfl_uint128)a * b;
    const struct dcsfl_wide result = {(uint64_t)(total >> 64), (uint64_t)total};

    return result;
}
#else
static inline uint64_t dcsfl_mulhi64(uint64_t a, uint64_t b) {
    return dcsfl_mulhi64_by_halves(a, b);
}

static inline struct dcsfl_wide dcsfl_add_product(struct dcsfl_wide sum, uint64_t a, uint64_t b) {
    return dcsfl_add_product_by_halves(sum, a, b);
}
#endif

#endif
