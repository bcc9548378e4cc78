/*
 * The ring Z_q[X]/(X^N + 1), q = 63 * 2^44 + 1 = 2^50 - 2^44 + 1 (prime), N = 2^5 .. 2^12: number-theoretic
 * transforms and the coefficient-wise steps of the rlwe scheme.
 *
 * q is 1 mod 2N for every such N, and q - 1 = 63 * 2^44 makes scaling exact: a plaintext modulus t = 2^p, p <= 44,
 * divides q - 1, and so does 2^d for the d low bits that a ciphertext may drop.
 *
 * Every function is constant time in all polynomial values; degrees, counts and bit widths are public.
 * Every target gives the same results: all outputs are canonical.
 */
#ifndef DCSFL_RING_H
#define DCSFL_RING_H

#include <stddef.h>
#include <stdint.h>

#define DCSFL_Q ((UINT64_C(63) << 44) + 1)
#define DCSFL_Q_BITS 50
#define DCSFL_RING_MIN_LOG2_DEGREE 5
#define DCSFL_RING_MAX_LOG2_DEGREE 12
#define DCSFL_RING_MAX_DEGREE (1 << DCSFL_RING_MAX_LOG2_DEGREE)

/*
 * Tables of one degree, for every target. Read-only once made, so threads share it. With g the smallest generator
 * of Z_q^* and psi = g^((q-1)/2N), the transform of a polynomial a is
 *     transformed[i] = a(psi^(2 r(i) + 1)), r(i) the reversal of i's log2(N) bits.
 */
struct dcsfl_ring;

/* NULL if log2_degree is out of range or memory is short. */
struct dcsfl_ring *dcsfl_ring_new(unsigned log2_degree);
void dcsfl_ring_free(struct dcsfl_ring *ring);
size_t dcsfl_ring_degree(const struct dcsfl_ring *ring);

/* A transformed polynomial made ready for many products; opaque, the same target must make and use it. */
struct dcsfl_ring_factor {
    _Alignas(64) uint64_t data[2 * DCSFL_RING_MAX_DEGREE];
};

/* In place, poly[N] in [0, q) before and after; any alignment of 8. The inverse divides by N. */
typedef void dcsfl_ring_transform_fn(const struct dcsfl_ring *ring, uint64_t *poly);

/* factor <- transformed[N], each in [0, q). */
typedef void dcsfl_ring_prepare_fn(const struct dcsfl_ring *ring, struct dcsfl_ring_factor *factor,
                                   const uint64_t *transformed);

/*
 * out[N] <- inverse transform of the coefficient-wise product; transformed[N] in [0, q), out in [0, q). Other values of
 * `transformed` make `out` meaningless, and nothing worse. No overlap.
 */
typedef void dcsfl_ring_multiply_fn(const struct dcsfl_ring *ring, uint64_t *out, const uint64_t *transformed,
                                    const struct dcsfl_ring_factor *factor);

/*
 * How a plaintext lies in a coefficient: t = 2^plaintext_bits, and the low dropped_bits of a coefficient are not
 * kept, so that ciphertexts live mod Q' = 63 * 2^(44 - dropped_bits). plaintext_bits >= 0, dropped_bits >= 0,
 * plaintext_bits + dropped_bits <= 44.
 */
struct dcsfl_ring_scale {
    unsigned plaintext_bits;
    unsigned dropped_bits;
};

/*
 * Cover words with a mask, per coefficient i < count:
 *     b = (mask[i] + errors[i] + words[i] * 63 * 2^(44 - plaintext_bits) + half) mod q,
 *     half = dropped_bits == 0 ? 0 : 2^(dropped_bits - 1),
 *     out[i] = (b >> dropped_bits) mod Q', with Q' = 63 * 2^(44 - dropped_bits) where dropped_bits > 0, and q where it is 0.
 *   mask    [count], each in [0, q).    errors  [count].    words   [count], each in [0, 2^plaintext_bits).
 * `out` may be `words` or `mask`; no other overlap.
 */
typedef void dcsfl_ring_cover_fn(const struct dcsfl_ring_scale *scale, uint64_t *out, size_t count,
                                 const uint64_t *mask, const int8_t *errors, const uint64_t *words);

/*
 * The inverse on sums, per coefficient i < count:
 *     rounded = ((mask[i] + half) mod q) >> dropped_bits,
 *     difference = (sums[i] - rounded) mod Q',
 *     out[i] = floor((difference + floor(D / 2)) / D) mod 2^plaintext_bits, D = 63 * 2^(44 - dropped_bits - plaintext_bits).
 * (With dropped_bits = 0, Q' is q.)
 *   sums    [count], any 64-bit values: they are reduced mod Q' first.
 * `out` may be `sums` or `mask`; no other overlap.
 */
typedef void dcsfl_ring_uncover_fn(const struct dcsfl_ring_scale *scale, uint64_t *out, size_t count,
                                   const uint64_t *mask, const uint64_t *sums);

/* words[0..count), any 64-bit values, reduced in place to [0, Q') (q where dropped_bits is 0). */
typedef void dcsfl_ring_reduce_fn(unsigned dropped_bits, uint64_t *words, size_t count);

/* 1 if every one of values[0..count) is below limit, 1 <= limit <= 2^63, else 0: the answer alone is public. */
typedef int dcsfl_ring_are_below_fn(const uint64_t *values, size_t count, uint64_t limit);

struct dcsfl_ring_kernels {
    dcsfl_ring_transform_fn *forward;
    dcsfl_ring_transform_fn *inverse;
    dcsfl_ring_prepare_fn *prepare;
    dcsfl_ring_multiply_fn *multiply;
    dcsfl_ring_cover_fn *cover;
    dcsfl_ring_uncover_fn *uncover;
    dcsfl_ring_reduce_fn *reduce;
    dcsfl_ring_are_below_fn *are_below;
};

extern const struct dcsfl_ring_kernels dcsfl_ring_portable;
extern const struct dcsfl_ring_kernels dcsfl_ring_avx2;       /* requires DCSFL_CPU_AVX2 */
extern const struct dcsfl_ring_kernels dcsfl_ring_avx512ifma; /* requires DCSFL_CPU_AVX512_IFMA */

#endif
