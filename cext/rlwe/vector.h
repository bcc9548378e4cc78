/*
 * rlwe on a vector of fields, a polynomial at a time so that all between input and output stays in the caches next to
 * the core: pack fields to words, draw the errors, multiply, cover, pack coefficients; and back.
 *
 * Everything but `fields` and what is derived from `factor` and `errors` is public. Constant time in all of it.
 */
#ifndef DCSFL_RLWE_VECTOR_H
#define DCSFL_RLWE_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "../dispatch.h"
#include "../pack/pack.h"
#include "../ring/ring.h"
#include "../sample/sample.h"

/*
 * Polynomials, ceil(n / N) of them for n coefficients, N the ring's degree, and the transformed one-time key (or sum of keys)
 * that multiplies each: uint64[.., N] and uint64[N], all in [0, q). The factor is the caller's to check.
 */
struct dcsfl_rlwe_masks {
    const struct dcsfl_ring *ring;
    const uint64_t *polynomials;
    const uint64_t *factor;
};

/*
 * A word, the plaintext of a coefficient, holds fields_per_word fields of field_bits bits (pack/pack.h; word_bytes is
 * that of a uint64_t), and a coefficient loses its low dropped_bits: all of them together 44 bits at most.
 */
struct dcsfl_rlwe_layout {
    struct dcsfl_pack_layout words;
    unsigned dropped_bits;
};

/* What was out of range, as an OR: checked on the way, where the values are in the cache anyway. Public. */
#define DCSFL_RLWE_BAD_POLYNOMIALS 1
#define DCSFL_RLWE_BAD_FIELDS 2

/*
 * Encrypt fields[0..count), each in [0, 2^field_bits), in n = dcsfl_pack_word_count(&layout->words, count) packed
 * coefficients of 50 - dropped_bits bits: out[0 .. dcsfl_coefficient_bytes(n, 50 - dropped_bits)). The errors of
 * polynomial j are the wide Gaussian's first N samples of the stream (errors->seed, errors->domain, errors->index + j).
 * No overlap.
 * Returns 0; or an OR of DCSFL_RLWE_BAD_*, and then `out` holds what the caller must wipe; or -1 if memory is
 * short, and then nothing has been written.
 */
int dcsfl_rlwe_encrypt(const struct dcsfl_target *target, const struct dcsfl_rlwe_masks *masks,
                       const struct dcsfl_rlwe_layout *layout, const struct dcsfl_stream *errors, uint8_t *out,
                       const uint32_t *fields, size_t count);

/*
 * Decrypt sums[0..n), any 64-bit values, into out[0..count), each in [0, 2^field_bits), n as above. No overlap.
 * Returns as dcsfl_rlwe_encrypt does.
 */
int dcsfl_rlwe_decrypt(const struct dcsfl_target *target, const struct dcsfl_rlwe_masks *masks,
                       const struct dcsfl_rlwe_layout *layout, uint32_t *out, const uint64_t *sums, size_t count);

#endif
