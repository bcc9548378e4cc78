/* What the Gaussian samplers share: the checks of their contract, and drawing samples straight from a stream. */
#ifndef DCSFL_SAMPLE_GAUSSIAN_H
#define DCSFL_SAMPLE_GAUSSIAN_H

#include "../verify.h"
#include "sample.h"

#define DCSFL_GAUSSIAN_THRESHOLD_SLICES 8
#define DCSFL_GAUSSIAN_OWN_SLICES 5 /* of a comparand, the most significant; the others are the group's */
#define DCSFL_GAUSSIAN_COLUMN_MASK 0x3f
#define DCSFL_GAUSSIAN_SHARED_BIT 6 /* of a column byte */
#define DCSFL_GAUSSIAN_GROUP_BLOCKS (DCSFL_GAUSSIAN_GROUP_BYTES / DCSFL_CHACHA20_BLOCK_BYTES)
#define DCSFL_GAUSSIAN_MOST_GROUPS ((UINT64_C(1) << 32) / DCSFL_GAUSSIAN_GROUP_BLOCKS) /* in one stream */

/*
 * Draw out[0 .. 64 * groups) from `stream`, from its block 0 on, with a target's kernels. A group takes six blocks
 * and groups follow each other: the samples are those of mapping blocks 0 .. 6 * groups - 1 at once.
 *   groups <= DCSFL_GAUSSIAN_MOST_GROUPS.
 * Constant time in the seed and the samples. The stream's bytes are wiped before it returns.
 */
void dcsfl_sample_gaussian(const struct dcsfl_sample_kernels *kernels, const struct dcsfl_gaussian_table *table,
                           int8_t *out, size_t groups, const struct dcsfl_stream *stream);

/* Of a group's shared bits the byte that is slice s of its comparands, s >= DCSFL_GAUSSIAN_OWN_SLICES. */
static inline uint8_t dcsfl_gaussian_shared_byte(uint32_t shared, int s) {
    return (uint8_t)(shared >> 8 * (DCSFL_GAUSSIAN_THRESHOLD_SLICES - 1 - s));
}

/* The contract of dcsfl_gaussian_fn. */
static inline void dcsfl_gaussian_verify(const struct dcsfl_gaussian_table *table, const int8_t *out, size_t groups,
                                         const uint8_t *stream) {
    DCSFL_VERIFY(table != NULL);
    DCSFL_VERIFY(groups == 0 || (out != NULL && stream != NULL));
    DCSFL_VERIFY(groups == 0 || (uintptr_t)out >= (uintptr_t)stream + groups * DCSFL_GAUSSIAN_GROUP_BYTES ||
                 (uintptr_t)stream >= (uintptr_t)out + groups * DCSFL_GAUSSIAN_GROUP);
    (void)table, (void)out, (void)groups, (void)stream;
}

#endif
