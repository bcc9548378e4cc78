/* ChaCha20 with AVX2, 8 blocks at once: register i holds word i of all of them. Needs DCSFL_CPU_AVX2. */
#include <immintrin.h>
#include <string.h>

#include "../wipe.h"
#include "chacha20.h"
#include "kernels.h"

enum { LANES = 8, BATCH_BYTES = LANES * DCSFL_CHACHA20_BLOCK_BYTES };

/*
 * 16 words leave no register for anything else, so some must live in memory between their uses. The third of a
 * quarter round is the one to take: last written well before the end, first read well after the beginning, so its
 * way through memory delays nothing. Left to itself gcc 12 spills others, and takes a quarter longer.
 */
#define KEEP_IN_MEMORY(word) __asm__("" : "+m"(word))

struct rotations {
    __m256i by_16; /* pshufb indices: rotations by whole bytes take one instruction instead of three */
    __m256i by_8;
};

static inline __m256i rotate(__m256i value, int bits) {
    return _mm256_or_si256(_mm256_slli_epi32(value, bits), _mm256_srli_epi32(value, 32 - bits));
}

static inline void quarter_round(const struct rotations *left, __m256i *a, __m256i *b, __m256i *c, __m256i *d) {
    *a = _mm256_add_epi32(*a, *b);
    *d = _mm256_shuffle_epi8(_mm256_xor_si256(*d, *a), left->by_16);
    *c = _mm256_add_epi32(*c, *d);
    *b = rotate(_mm256_xor_si256(*b, *c), 12);
    *a = _mm256_add_epi32(*a, *b);
    *d = _mm256_shuffle_epi8(_mm256_xor_si256(*d, *a), left->by_8);
    *c = _mm256_add_epi32(*c, *d);
    *b = rotate(_mm256_xor_si256(*b, *c), 7);
    KEEP_IN_MEMORY(*c);
}

/* Eight words of eight blocks, x[i] word i of every block, to eight words in a row at out + 64 * block. */
static inline void store_half_blocks(uint8_t *out, const __m256i x[8]) {
    __m256i pair[8], quad[8];

    for (int i = 0; i < 4; i++) {
        pair[2 * i] = _mm256_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        pair[2 * i + 1] = _mm256_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) { /* quad[4 i + b]: words 4 i .. 4 i + 3 of blocks b and b + 4 */
        quad[4 * i] = _mm256_unpacklo_epi64(pair[4 * i], pair[4 * i + 2]);
        quad[4 * i + 1] = _mm256_unpackhi_epi64(pair[4 * i], pair[4 * i + 2]);
        quad[4 * i + 2] = _mm256_unpacklo_epi64(pair[4 * i + 1], pair[4 * i + 3]);
        quad[4 * i + 3] = _mm256_unpackhi_epi64(pair[4 * i + 1], pair[4 * i + 3]);
    }
    for (int b = 0; b < 4; b++) {
        uint8_t *low = out + DCSFL_CHACHA20_BLOCK_BYTES * b;
        uint8_t *high = low + DCSFL_CHACHA20_BLOCK_BYTES * 4;
        _mm256_storeu_si256((__m256i *)(void *)low, _mm256_permute2x128_si256(quad[b], quad[4 + b], 0x20));
        _mm256_storeu_si256((__m256i *)(void *)high, _mm256_permute2x128_si256(quad[b], quad[4 + b], 0x31));
    }
}

/* out[0..BATCH_BYTES) <- the blocks whose states are `start`. */
static inline void make_batch(uint8_t *out, const __m256i start[DCSFL_CHACHA20_WORDS], const struct rotations *left) {
    __m256i x0 = start[0], x1 = start[1], x2 = start[2], x3 = start[3];
    __m256i x4 = start[4], x5 = start[5], x6 = start[6], x7 = start[7];
    __m256i x8 = start[8], x9 = start[9], x10 = start[10], x11 = start[11];
    __m256i x12 = start[12], x13 = start[13], x14 = start[14], x15 = start[15];

    for (int r = 0; r < DCSFL_CHACHA20_DOUBLE_ROUNDS; r++) {
        quarter_round(left, &x0, &x4, &x8, &x12);
        quarter_round(left, &x1, &x5, &x9, &x13);
        quarter_round(left, &x2, &x6, &x10, &x14);
        quarter_round(left, &x3, &x7, &x11, &x15);
        quarter_round(left, &x0, &x5, &x10, &x15);
        quarter_round(left, &x1, &x6, &x11, &x12);
        quarter_round(left, &x2, &x7, &x8, &x13);
        quarter_round(left, &x3, &x4, &x9, &x14);
    }
    const __m256i x[DCSFL_CHACHA20_WORDS] = {x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15};
    __m256i sum[DCSFL_CHACHA20_WORDS];
    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i++)
        sum[i] = _mm256_add_epi32(x[i], start[i]);
    store_half_blocks(out, sum);
    store_half_blocks(out + DCSFL_CHACHA20_BLOCK_BYTES / 2, sum + 8);
}

void dcsfl_chacha20_avx2(uint8_t *out, size_t blocks, const struct dcsfl_stream *stream, uint32_t first_block) {
    const struct rotations left = {
        .by_16 = _mm256_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, /* per 128 bits */
                                  2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13),
        .by_8 = _mm256_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14, /* likewise */
                                 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14),
    };
    uint32_t state[DCSFL_CHACHA20_WORDS];
    __m256i start[DCSFL_CHACHA20_WORDS];

    dcsfl_chacha20_verify(out, blocks, stream, first_block);
    dcsfl_chacha20_start(state, stream, first_block);
    for (int i = 0; i < DCSFL_CHACHA20_WORDS; i++)
        start[i] = _mm256_set1_epi32((int)state[i]);
    start[DCSFL_CHACHA20_COUNTER] =
        _mm256_add_epi32(start[DCSFL_CHACHA20_COUNTER], _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    for (; blocks >= LANES; blocks -= LANES, out += BATCH_BYTES) {
        make_batch(out, start, &left);
        start[DCSFL_CHACHA20_COUNTER] =
            _mm256_add_epi32(start[DCSFL_CHACHA20_COUNTER], _mm256_set1_epi32(LANES));
    }
    if (blocks > 0) {
        uint8_t last[BATCH_BYTES];
        make_batch(last, start, &left);
        memcpy(out, last, blocks * DCSFL_CHACHA20_BLOCK_BYTES);
        dcsfl_wipe(last, sizeof last);
    }
    dcsfl_wipe(state, sizeof state);
    dcsfl_wipe(start, sizeof start);
}
