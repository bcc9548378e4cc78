/*
 * ChaCha20 in plain C, LANES blocks side by side: word i of all of them is x[i], and a double round is one loop over
 * lanes with a fixed trip count and no other loop inside, which compilers turn into vector instructions.
 */
#include <string.h>

#include "../wipe.h"
#include "chacha20.h"
#include "kernels.h"

enum { LANES = 8, BATCH_BYTES = LANES * DCSFL_CHACHA20_BLOCK_BYTES };

static inline uint32_t rotate(uint32_t value, unsigned bits) {
    return value << bits | value >> (32 - bits);
}

static inline void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d) {
    *a += *b;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 12);
    *a += *b;
    *d = rotate(*d ^ *a, 8);
    *c += *d;
    *b = rotate(*b ^ *c, 7);
}

/* Words by name and not in an array: the array's loops would come between the compiler and the lanes. */
static inline void double_round(uint32_t x[DCSFL_CHACHA20_WORDS][LANES]) {
    for (int l = 0; l < LANES; l++) {
        uint32_t x0 = x[0][l], x1 = x[1][l], x2 = x[2][l], x3 = x[3][l];
        uint32_t x4 = x[4][l], x5 = x[5][l], x6 = x[6][l], x7 = x[7][l];
        uint32_t x8 = x[8][l], x9 = x[9][l], x10 = x[10][l], x11 = x[11][l];
        uint32_t x12 = x[12][l], x13 = x[13][l], x14 = x[14][l], x15 = x[15][l];

        quarter_round(&x0, &x4, &x8, &x12);
        quarter_round(&x1, &x5, &x9, &x13);
        quarter_round(&x2, &x6, &x10, &x14);
        quarter_round(&x3, &x7, &x11, &x15);
        quarter_round(&x0, &x5, &x10, &x15);
        quarter_round(&x1, &x6, &x11, &x12);
        quarter_round(&x2, &x7, &x8, &x13);
        quarter_round(&x3, &x4, &x9, &x14);

        x[0][l] = x0, x[1][l] = x1, x[2][l] = x2, x[3][l] = x3;
        x[4][l] = x4, x[5][l] = x5, x[6][l] = x6, x[7][l] = x7;
        x[8][l] = x8, x[9][l] = x9, x[10][l] = x10, x[11][l] = x11;
        x[12][l] = x12, x[13][l] = x13, x[14][l] = x14, x[15][l] = x15;
    }
}

/* out[0..BATCH_BYTES) <- the blocks whose first one starts from `start`. Leaves nothing of them on the stack. */
static void make_batch(uint8_t *out, const uint32_t start[DCSFL_CHACHA20_WORDS]) {
    uint32_t x[DCSFL_CHACHA20_WORDS][LANES];

    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i++)
        for (int l = 0; l < LANES; l++)
            x[i][l] = start[i];
    for (uint32_t l = 0; l < LANES; l++)
        x[DCSFL_CHACHA20_COUNTER][l] += l;
    for (int r = 0; r < DCSFL_CHACHA20_DOUBLE_ROUNDS; r++)
        double_round(x);
    for (uint32_t l = 0; l < LANES; l++)
        x[DCSFL_CHACHA20_COUNTER][l] += l;
    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i++)
        for (int l = 0; l < LANES; l++)
            x[i][l] += start[i];
    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i++)
        for (int l = 0; l < LANES; l++)
            dcsfl_store_le32(out + DCSFL_CHACHA20_BLOCK_BYTES * l + 4 * i, x[i][l]);
    dcsfl_wipe(x, sizeof x);
}

void dcsfl_chacha20_portable(uint8_t *out, size_t blocks, const struct dcsfl_stream *stream, uint32_t first_block) {
    uint32_t state[DCSFL_CHACHA20_WORDS];

    dcsfl_chacha20_verify(out, blocks, stream, first_block);
    dcsfl_chacha20_start(state, stream, first_block);
    for (; blocks >= LANES; blocks -= LANES, out += BATCH_BYTES) {
        make_batch(out, state);
        state[DCSFL_CHACHA20_COUNTER] += LANES;
    }
    if (blocks > 0) {
        uint8_t last[BATCH_BYTES];
        make_batch(last, state);
        memcpy(out, last, blocks * DCSFL_CHACHA20_BLOCK_BYTES);
        dcsfl_wipe(last, sizeof last);
    }
    dcsfl_wipe(state, sizeof state);
}
