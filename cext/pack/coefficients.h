/*
 * Ciphertext coefficients: unsigned integers of `width` bits each, 1 <= width <= 56, to and from bytes.
 *
 * The bytes are a little-endian bit stream without gaps: coefficient i takes bits [i*width, (i+1)*width), bit b of
 * the stream being bit b%8 of byte b/8. The bits above the last coefficient, fewer than 8, are zero. So every
 * 8 coefficients are `width` whole bytes.
 *
 * Coefficients are public: nothing here is constant time.
 */
#ifndef DCSFL_COEFFICIENTS_H
#define DCSFL_COEFFICIENTS_H

#include <stddef.h>
#include <stdint.h>

#define DCSFL_COEFFICIENT_MAX_WIDTH 56

/* ceil(count * width / 8), without overflow on the way as long as the result is below SIZE_MAX - 64. */
static inline size_t dcsfl_coefficient_bytes(size_t count, unsigned width) {
    return count / 8 * width + (count % 8 * width + 7) / 8;
}

/* 1 if the bits above the last coefficient in in[dcsfl_coefficient_bytes(count, width)] are zero, else 0. */
static inline int dcsfl_coefficient_padding_is_zero(const uint8_t *in, size_t count, unsigned width) {
    const unsigned used = (unsigned)(count % 8) * width % 8; /* bits of the last byte; 0: all of them */
    return used == 0 || in[dcsfl_coefficient_bytes(count, width) - 1] >> used == 0;
}

/*
 * Pack words[0..count) into `out`.
 *   out        dcsfl_coefficient_bytes(count, width) bytes, any alignment; all of it is written and nothing else.
 *              Must not overlap `words`.
 *   words      aligned as uint64_t; each in [0, 2^width).
 * Returns 0; or 1 if some word is out of range, and then `out` holds a meaningless mixture.
 * Either pointer may be NULL if count is 0.
 */
typedef int dcsfl_pack_coefficients_fn(uint8_t *out, const uint64_t *words, size_t count, unsigned width);

/*
 * The inverse: fill out[0..count) from `in`.
 *   out        aligned as uint64_t. Must not overlap `in`.
 *   in         dcsfl_coefficient_bytes(count, width) bytes, any alignment, no other byte is read; padding bits are
 *              ignored: dcsfl_coefficient_padding_is_zero asks about them.
 *   limit      in [1, 2^width].
 * Returns how many leading coefficients lie in [0, limit): count if all do, else the index of the first that does
 * not. Up to there `out` is filled; what it holds from there on is unspecified.
 * Either pointer may be NULL if count is 0.
 */
typedef size_t dcsfl_unpack_coefficients_fn(uint64_t *out, const uint8_t *in, size_t count, unsigned width,
                                            uint64_t limit);

struct dcsfl_coefficient_kernels {
    dcsfl_pack_coefficients_fn *pack;
    dcsfl_unpack_coefficients_fn *unpack;
};

extern const struct dcsfl_coefficient_kernels dcsfl_coefficients_portable;
extern const struct dcsfl_coefficient_kernels dcsfl_coefficients_avx2;       /* requires DCSFL_CPU_AVX2 */
extern const struct dcsfl_coefficient_kernels dcsfl_coefficients_avx512ifma; /* requires DCSFL_CPU_AVX512_IFMA */

#endif
