/*
 * Uniform residues by rejection: the loop that every target's kernel is, around its own ChaCha20 and its own filter
 * of words. `static inline`, so that a copy compiled for an instruction set stays inside the file compiled for it.
 *
 * q = 2^50 - 2^44 + 1, so one word in 64 is left out. All of this is public: branches on it are fine.
 */
#ifndef DCSFL_SAMPLE_UNIFORM_H
#define DCSFL_SAMPLE_UNIFORM_H

#include "../bytes.h"
#include "../ring/ring.h"
#include "../verify.h"
#include "kernels.h"

#define DCSFL_UNIFORM_MASK ((UINT64_C(1) << 50) - 1)
#define DCSFL_UNIFORM_BLOCK_WORDS (DCSFL_CHACHA20_BLOCK_BYTES / 8)

enum { DCSFL_UNIFORM_PIECE_BLOCKS = 64 }; /* 4 KiB; a multiple of every target's batch of blocks */

/* Word by word, without a branch: a word left out is overwritten by the next. */
static inline size_t dcsfl_uniform_filter_var(uint64_t *out, const uint8_t *words, size_t count) {
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        const uint64_t word = dcsfl_load_le64(words + 8 * i) & DCSFL_UNIFORM_MASK;
        out[kept] = word;
        kept += word < DCSFL_Q;
    }
    return kept;
}

/* dcsfl_uniform_fn_var, made of the two. */
static inline void dcsfl_uniform_fill_var(dcsfl_chacha20_fn *chacha20, dcsfl_uniform_filter_fn_var *filter,
                                          uint64_t *out, size_t count, const struct dcsfl_stream *stream) {
    uint8_t piece[DCSFL_UNIFORM_PIECE_BLOCKS * DCSFL_CHACHA20_BLOCK_BYTES];
    uint32_t first_block = 0;

    DCSFL_VERIFY(count <= DCSFL_UNIFORM_MOST);
    DCSFL_VERIFY(count == 0 || (out != NULL && (uintptr_t)out % _Alignof(uint64_t) == 0));
    while (count > 0) {
        const size_t likely = (count + count / 32) / DCSFL_UNIFORM_BLOCK_WORDS + 1; /* twice the words left out */
        const size_t blocks = likely < DCSFL_UNIFORM_PIECE_BLOCKS ? likely : DCSFL_UNIFORM_PIECE_BLOCKS;
        const size_t words = blocks * DCSFL_UNIFORM_BLOCK_WORDS;

        chacha20(piece, blocks, stream, first_block);
        first_block += (uint32_t)blocks;
        for (size_t at = 0; at < words && count > 0;) {
            const size_t taken = words - at < count ? words - at : count;
            const size_t kept = filter(out, piece + 8 * at, taken);
            at += taken;
            out += kept;
            count -= kept;
        }
    }
}

#endif
