#include "gaussian.h"

#include "../wipe.h"

/* A multiple of 16, so that pieces are whole batches of every target's ChaCha20: 6 KiB, in first-level cache. */
enum { PIECE_GROUPS = 16 };

void dcsfl_sample_gaussian(const struct dcsfl_sample_kernels *kernels, const struct dcsfl_gaussian_table *table,
                           int8_t *out, size_t groups, const struct dcsfl_stream *stream) {
    uint8_t piece[PIECE_GROUPS * DCSFL_GAUSSIAN_GROUP_BYTES];
    uint32_t first_block = 0;

    DCSFL_VERIFY(groups <= DCSFL_GAUSSIAN_MOST_GROUPS);
    while (groups > 0) {
        const size_t taken = groups < PIECE_GROUPS ? groups : PIECE_GROUPS;
        kernels->chacha20(piece, taken * DCSFL_GAUSSIAN_GROUP_BLOCKS, stream, first_block);
        kernels->gaussian(table, out, taken, piece);
        first_block += (uint32_t)(taken * DCSFL_GAUSSIAN_GROUP_BLOCKS);
        out += taken * DCSFL_GAUSSIAN_GROUP;
        groups -= taken;
    }
    dcsfl_wipe(piece, sizeof piece);
}
