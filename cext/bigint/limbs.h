/*
 * Numbers of many lanes outside of products: to and from bytes, sums, the last reduction. Arrays as in bigint.h.
 * Everything is constant time in the numbers.
 */
#ifndef DCSFL_LIMBS_H
#define DCSFL_LIMBS_H

#include "bigint.h"

/* out[limbs], one lane of it <- bits [first_bit, first_bit + limbs * limb_bits) of the little-endian bytes, 0 past
 * the last. */
void dcsfl_limbs_load(const struct dcsfl_bigint_kernels *kernels, uint64_t *out, size_t limbs, size_t lane,
                      const uint8_t *bytes, size_t byte_count, size_t first_bit);

/* bytes[byte_count] <- the number, which must fit; byte_count a multiple of 8. */
void dcsfl_limbs_store(const struct dcsfl_bigint_kernels *kernels, uint8_t *bytes, size_t byte_count,
                       const uint64_t *in, size_t limbs, size_t lane);

/* sum[limbs] += addend[limbs], in every lane; it must not carry out. */
void dcsfl_limbs_add(const struct dcsfl_bigint_kernels *kernels, uint64_t *sum, const uint64_t *addend, size_t limbs);

/* Carry limbs below 2^63; the last must not carry out. */
void dcsfl_limbs_carry(const struct dcsfl_bigint_kernels *kernels, uint64_t *number, size_t limbs);

/* Both halves of an element into [0, n), its one canonical form, from x0, x1 < 2n - 1. */
void dcsfl_nadic_canonicalise(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                              uint64_t *element);

/* x0 into [0, n) from x0 < 2n, x1 one more where it was not there. */
void dcsfl_nadic_reduce_low(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *element);

/* number[L] -= n in the lanes where it is n or more. */
void dcsfl_limbs_subtract_once(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                               uint64_t *number);

/* Every lane of out[limbs] <- constant[limbs], which is one lane. */
void dcsfl_limbs_spread(const struct dcsfl_bigint_kernels *kernels, uint64_t *out, const uint64_t *constant,
                        size_t limbs);

/* Zeros that the compiler may not leave out. */
void dcsfl_wipe(void *memory, size_t bytes);

#endif
