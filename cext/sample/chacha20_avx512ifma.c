/* ChaCha20 with AVX-512, 16 blocks at once: register i holds word i of all of them. Needs DCSFL_CPU_AVX512_IFMA. */
#include <immintrin.h>
#include <string.h>

#include "../wipe.h"
#include "chacha20.h"
#include "kernels.h"

enum { LANES = 16, BATCH_BYTES = LANES * DCSFL_CHACHA20_BLOCK_BYTES };

static inline void quarter_round(__m512i *a, __m512i *b, __m512i *c, __m512i *d) {
    *a = _mm512_add_epi32(*a, *b);
    *d = _mm512_rol_epi32(_mm512_xor_si512(*d, *a), 16);
    *c = _mm512_add_epi32(*c, *d);
    *b = _mm512_rol_epi32(_mm512_xor_si512(*b, *c), 12);
    *a = _mm512_add_epi32(*a, *b);
    *d = _mm512_rol_epi32(_mm512_xor_si512(*d, *a), 8);
    *c = _mm512_add_epi32(*c, *d);
    *b = _mm512_rol_epi32(_mm512_xor_si512(*b, *c), 7);
}

/*
 * x[i], word i of every block, to whole blocks at `out`. First within the registers' 128-bit quarters: quad[4 i + b]
 * holds words 4 i .. 4 i + 3 of blocks b, b + 4, b + 8 and b + 12. Then quarters, as a 4 by 4 transposition.
 */
static inline void store_blocks(uint8_t *out, const __m512i x[DCSFL_CHACHA20_WORDS]) {
    __m512i quad[DCSFL_CHACHA20_WORDS];

    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i += 4) {
        const __m512i low_01 = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        const __m512i high_01 = _mm512_unpackhi_epi32(x[i], x[i + 1]);
        const __m512i low_23 = _mm512_unpacklo_epi32(x[i + 2], x[i + 3]);
        const __m512i high_23 = _mm512_unpackhi_epi32(x[i + 2], x[i + 3]);
        quad[i] = _mm512_unpacklo_epi64(low_01, low_23);
        quad[i + 1] = _mm512_unpackhi_epi64(low_01, low_23);
        quad[i + 2] = _mm512_unpacklo_epi64(high_01, high_23);
        quad[i + 3] = _mm512_unpackhi_epi64(high_01, high_23);
    }
    for (int b = 0; b < 4; b++) {
        /* 0x88 takes quarters 0 and 2 of each operand, 0xdd quarters 1 and 3. */
        const __m512i even_low = _mm512_shuffle_i32x4(quad[b], quad[4 + b], 0x88);
        const __m512i odd_low = _mm512_shuffle_i32x4(quad[b], quad[4 + b], 0xdd);
        const __m512i even_high = _mm512_shuffle_i32x4(quad[8 + b], quad[12 + b], 0x88);
        const __m512i odd_high = _mm512_shuffle_i32x4(quad[8 + b], quad[12 + b], 0xdd);
        uint8_t *block = out + DCSFL_CHACHA20_BLOCK_BYTES * b;
        _mm512_storeu_si512(block, _mm512_shuffle_i32x4(even_low, even_high, 0x88));
        _mm512_storeu_si512(block + DCSFL_CHACHA20_BLOCK_BYTES * 4, _mm512_shuffle_i32x4(odd_low, odd_high, 0x88));
        _mm512_storeu_si512(block + DCSFL_CHACHA20_BLOCK_BYTES * 8, _mm512_shuffle_i32x4(even_low, even_high, 0xdd));
        _mm512_storeu_si512(block + DCSFL_CHACHA20_BLOCK_BYTES * 12, _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd));
    }
}

/* out[0..BATCH_BYTES) <- the blocks whose states are `start`. */
static inline void make_batch(uint8_t *out, const __m512i start[DCSFL_CHACHA20_WORDS]) {
    __m512i x[DCSFL_CHACHA20_WORDS];

    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i++)
        x[i] = start[i];
    for (int r = 0; r < DCSFL_CHACHA20_DOUBLE_ROUNDS; r++) {
        quarter_round(&x[0], &x[4], &x[8], &x[12]);
        quarter_round(&x[1], &x[5], &x[9], &x[13]);
        quarter_round(&x[2], &x[6], &x[10], &x[14]);
        quarter_round(&x[3], &x[7], &x[11], &x[15]);
        quarter_round(&x[0], &x[5], &x[10], &x[15]);
        quarter_round(&x[1], &x[6], &x[11], &x[12]);
        quarter_round(&x[2], &x[7], &x[8], &x[13]);
        quarter_round(&x[3], &x[4], &x[9], &x[14]);
    }
    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i++)
        x[i] = _mm512_add_epi32(x[i], start[i]);
    store_blocks(out, x);
}

void dcsfl_chacha20_avx512ifma(uint8_t *out, size_t blocks, const struct dcsfl_stream *stream,
                               uint32_t first_block) {
    uint32_t state[DCSFL_CHACHA20_WORDS];
    __m512i start[DCSFL_CHACHA20_WORDS];

    dcsfl_chacha20_verify(out, blocks, stream, first_block);
    dcsfl_chacha20_start(state, stream, first_block);
    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i++)
        start[i] = _mm512_set1_epi32((int)state[i]);
    start[DCSFL_CHACHA20_COUNTER] =
        _mm512_add_epi32(start[DCSFL_CHACHA20_COUNTER],
                         _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    for (; blocks >= LANES; blocks -= LANES, out += BATCH_BYTES) {
        make_batch(out, start);
        start[DCSFL_CHACHA20_COUNTER] =
            _mm512_add_epi32(start[DCSFL_CHACHA20_COUNTER], _mm512_set1_epi32(LANES));
    }
    if (blocks > 0) {
        uint8_t last[BATCH_BYTES];
        make_batch(last, start);
        memcpy(out, last, blocks * DCSFL_CHACHA20_BLOCK_BYTES);
        dcsfl_wipe(last, sizeof last);
    }
    dcsfl_wipe(state, sizeof state);
    dcsfl_wipe(start, sizeof start);
}
