/*
 * ChaCha20's starting state, RFC 8439, section 2.3: what the kernels of every target begin with. `static inline`,
 * so that a copy compiled for an instruction set stays inside the file compiled for it.
 */
#ifndef DCSFL_SAMPLE_CHACHA20_H
#define DCSFL_SAMPLE_CHACHA20_H

#include "../bytes.h"
#include "../verify.h"
#include "sample.h"

#define DCSFL_CHACHA20_WORDS 16
#define DCSFL_CHACHA20_COUNTER 12 /* the word that counts blocks */
#define DCSFL_CHACHA20_DOUBLE_ROUNDS 10

/* The state of block first_block. */
static inline void dcsfl_chacha20_start(uint32_t state[DCSFL_CHACHA20_WORDS], const struct dcsfl_stream *stream,
                                        uint32_t first_block) {
    state[0] = 0x61707865; /* "expand 32-byte k" */
    state[1] = 0x3320646e;
    state[2] = 0x79622d32;
    state[3] = 0x6b206574;
    for (int i = 0; i < 8; i++)
        state[4 + i] = dcsfl_load_le32(stream->seed + 4 * i);
    state[DCSFL_CHACHA20_COUNTER] = first_block;
    state[13] = stream->domain;
    state[14] = (uint32_t)stream->index;
    state[15] = (uint32_t)(stream->index >> 32);
}

/* The contract of dcsfl_chacha20_fn. */
static inline void dcsfl_chacha20_verify(const uint8_t *out, size_t blocks, const struct dcsfl_stream *stream,
                                         uint32_t first_block) {
    DCSFL_VERIFY(stream != NULL && stream->seed != NULL);
    DCSFL_VERIFY(blocks == 0 || out != NULL);
    DCSFL_VERIFY(blocks <= (UINT64_C(1) << 32) - first_block);
    (void)out, (void)blocks, (void)stream, (void)first_block;
}

#endif
