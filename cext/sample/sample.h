/*
 * Pseudorandom streams and the samplers fed by them: ChaCha20, discrete Gaussians, uniform residues.
 *
 * A stream is ChaCha20 (RFC 8439, section 2.4) under a 32-byte seed; the 12-byte nonce is a 32-bit domain
 * followed by a 64-bit index, both little-endian, and blocks are counted from 0. Every kernel maps the same
 * stream to the same samples on every target.
 */
#ifndef DCSFL_SAMPLE_H
#define DCSFL_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#define DCSFL_SEED_BYTES 32
#define DCSFL_CHACHA20_BLOCK_BYTES 64

/* The stream of `seed` named by (domain, index). */
struct dcsfl_stream {
    const uint8_t *seed; /* DCSFL_SEED_BYTES */
    uint32_t domain;
    uint64_t index;
};

/*
 * Write `blocks` blocks of the stream from block `first_block` on: out[0 .. 64 * blocks).
 *   first_block + blocks <= 2^32. `out` may be NULL if blocks is 0; any alignment.
 * Constant time in the seed.
 */
typedef void dcsfl_chacha20_fn(uint8_t *out, size_t blocks, const struct dcsfl_stream *stream, uint32_t first_block);

/*
 * Discrete Gaussians by Walker's alias method over magnitudes 0..63, with 64-bit thresholds.
 *
 * One sample takes a column c of 6 bits, a sign bit, and a 64-bit comparand r. Magnitude: c if r < threshold[c], else
 * alias[c]. The 40 high bits of r are the sample's own; the 24 low ones are shared by the 64 samples of a group, and
 * matter to a sample only where its own 40 are those of the threshold, with probability 2^-40 whatever c is. So
 * unless that befalls two samples of a group, which it does with less than C(64, 2) 2^-80, samples are what
 * comparands drawn apart would make them: sharing moves a sample by less than 2^-75 from independence (statistical
 * distance), less than a hundredth of what the tables' rounding does, and spares a third of the stream.
 *
 * A group takes 384 bytes of stream, in byte slices: sample l of group g has the column byte stream[384 g + l] (bits
 * 0..5 the column, bit 7 the sign, bit 6 a shared bit), and of its comparand the bytes stream[384 g + 64 s + l],
 * s = 1..5, the most significant first. Bit 6 of column byte i of the group is bit i of the shared 24, i = 0..23; of the
 * others it is unused.
 */
#define DCSFL_GAUSSIAN_GROUP 64
#define DCSFL_GAUSSIAN_GROUP_BYTES 384
#define DCSFL_GAUSSIAN_COLUMNS 64

struct dcsfl_gaussian_table {
    uint8_t alias[DCSFL_GAUSSIAN_COLUMNS];
    uint8_t threshold[8][DCSFL_GAUSSIAN_COLUMNS]; /* byte slices, the most significant first */
};

/* sigma 4.5 and 4.5 * sqrt(2); made by sample/generate_gaussian.py, which states their distance from the ideal. */
extern const struct dcsfl_gaussian_table dcsfl_gaussian_narrow;
extern const struct dcsfl_gaussian_table dcsfl_gaussian_wide;

/*
 * Map stream[0 .. 384 * groups) to out[0 .. 64 * groups), each in [-63, 63]. No overlap; any alignment.
 * Constant time in the stream.
 */
typedef void dcsfl_gaussian_fn(const struct dcsfl_gaussian_table *table, int8_t *out, size_t groups,
                               const uint8_t *stream);

/*
 * Fill out[0..count) with uniform residues mod q (ring/ring.h), each in [0, q): 64-bit little-endian words of
 * the stream, cut to their low 50 bits, those of q or more left out.
 *   count <= DCSFL_UNIFORM_MOST. `out` may be NULL if count is 0.
 * Not constant time: for public polynomials only, and named so.
 */
#define DCSFL_UNIFORM_MOST (UINT64_C(1) << 32) /* an eighth of a stream's words, so that none runs out */

typedef void dcsfl_uniform_fn_var(uint64_t *out, size_t count, const struct dcsfl_stream *stream);

struct dcsfl_sample_kernels {
    dcsfl_chacha20_fn *chacha20;
    dcsfl_gaussian_fn *gaussian;
    dcsfl_uniform_fn_var *uniform_var;
};

extern const struct dcsfl_sample_kernels dcsfl_sample_portable;
extern const struct dcsfl_sample_kernels dcsfl_sample_avx2;       /* requires DCSFL_CPU_AVX2 */
extern const struct dcsfl_sample_kernels dcsfl_sample_avx512ifma; /* requires DCSFL_CPU_AVX512_IFMA */

#endif
