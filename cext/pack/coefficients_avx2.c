/*
 * Ciphertext coefficients with AVX2, compiled with -mavx2 and called only where DCSFL_CPU_AVX2 is set.
 *
 * The portable kernels' groups of eight, two coefficients to 128 bits: 7 + 2 * 56 bits from a byte on. Loads and
 * stores of 16 bytes reach past a pair into what follows; what follows is written later, in order, and the last
 * groups, where nothing follows, are left to the stream: no byte outside the caller's buffers is touched.
 */
#include <immintrin.h>

#include "coefficient_stream.h"
#include "coefficients.h"

#define REACH_BYTES 16
#define NO_BYTE ((int8_t)-128) /* a pshufb index that yields zero */

static inline __m128i load128(const void *in) {
    return _mm_loadu_si128((const __m128i *)in);
}

static inline void store128(void *out, __m128i value) {
    _mm_storeu_si128((__m128i *)out, value);
}

static inline __m256i load256(const void *in) {
    return _mm256_loadu_si256((const __m256i *)in);
}

static inline void store256(void *out, __m256i value) {
    _mm256_storeu_si256((__m256i *)out, value);
}

/* Where the coefficients of a group lie; halves[h] is about coefficients 4h..4h+3. */
struct half {
    size_t byte[2];    /* the byte pair p starts in */
    __m256i shift;     /* per coefficient: the bit it starts at in its first byte */
    __m256i carry;     /* per coefficient: the shift that leaves those bits of the coefficient before it */
    __m256i compact;   /* per byte: pack's move of a pair's second coefficient behind its first */
    __m256i spread;    /* per byte: unpack's move of each coefficient's bytes into 64 bits */
};

static struct half make_half(unsigned width, unsigned first) {
    int64_t shift[4], carry[4];
    int8_t compact[32], spread[32];
    struct half half;

    for (unsigned i = 0; i < 4; i++) {
        const unsigned bit = (first + i) * width;
        shift[i] = bit % 8;
        carry[i] = first + i == 0 ? 64 : (int64_t)width - bit % 8; /* a group starts on a byte: 64 yields zero */
    }
    for (unsigned pair = 0; pair < 2; pair++) {
        const unsigned first_byte = (first + 2 * pair) * width / 8;
        const unsigned second = (first + 2 * pair + 1) * width / 8 - first_byte; /* at most 7 */
        half.byte[pair] = first_byte;
        for (unsigned b = 0; b < 16; b++)
            compact[16 * pair + b] = b < second ? (int8_t)b : b < second + 8 ? (int8_t)(8 + b - second) : NO_BYTE;
        for (unsigned b = 0; b < 8; b++) {
            spread[16 * pair + b] = (int8_t)b;
            spread[16 * pair + 8 + b] = (int8_t)(second + b);
        }
    }
    half.shift = load256(shift);
    half.carry = load256(carry);
    half.compact = load256(compact);
    half.spread = load256(spread);
    return half;
}

/* --- pack ---------------------------------------------------------------------------------------- */

/* Pack 4 coefficients; `before` holds, per coefficient, the one before it. */
static inline void pack_half(const struct half *half, uint8_t *out, __m256i words, __m256i before) {
    const __m256i placed =
        _mm256_or_si256(_mm256_sllv_epi64(words, half->shift), _mm256_srlv_epi64(before, half->carry));
    const __m256i pairs = _mm256_shuffle_epi8(placed, half->compact);

    store128(out + half->byte[0], _mm256_castsi256_si128(pairs));
    store128(out + half->byte[1], _mm256_extracti128_si256(pairs, 1));
}

static uint64_t or_lanes(__m256i value) {
    uint64_t lane[4];

    store256(lane, value);
    return lane[0] | lane[1] | lane[2] | lane[3];
}

static int pack(uint8_t *out, const uint64_t *words, size_t count, unsigned width) {
    const struct half lower = make_half(width, 0), upper = make_half(width, 4);
    __m256i seen = _mm256_setzero_si256();
    uint64_t seen_in_tail;
    size_t groups = 0;

    dcsfl_coefficients_verify(words, count, out, width);
    if (count == 0)
        return 0;
    if (width >= DCSFL_COEFFICIENT_MIN_GROUP_WIDTH)
        groups = dcsfl_coefficient_groups(count, width, (unsigned)upper.byte[1], REACH_BYTES);
    for (size_t g = 0; g < groups; g++, out += width, words += 8) {
        const __m256i first_four = load256(words), last_four = load256(words + 4);
        pack_half(&lower, out, first_four, _mm256_permute4x64_epi64(first_four, 0x90)); /* 0, 0, 1, 2 */
        pack_half(&upper, out, last_four, load256(words + 3));
        seen = _mm256_or_si256(seen, _mm256_or_si256(first_four, last_four));
    }
    seen_in_tail = dcsfl_pack_coefficient_stream(out, words, count - 8 * groups, width);
    return ((seen_in_tail | or_lanes(seen)) & dcsfl_coefficient_excess_mask(width)) != 0;
}

/* --- unpack -------------------------------------------------------------------------------------- */

static inline __m256i unpack_half(const struct half *half, const uint8_t *in, __m256i kept) {
    const __m256i pairs = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(in + half->byte[0])),
                                                  load128(in + half->byte[1]), 1);
    return _mm256_and_si256(_mm256_srlv_epi64(_mm256_shuffle_epi8(pairs, half->spread), half->shift), kept);
}

static size_t unpack(uint64_t *out, const uint8_t *in, size_t count, unsigned width, uint64_t limit) {
    const struct half lower = make_half(width, 0), upper = make_half(width, 4);
    const size_t groups = dcsfl_coefficient_groups(count, width, (unsigned)upper.byte[1], REACH_BYTES);
    const uint64_t kept_bits = ~dcsfl_coefficient_excess_mask(width);
    const __m256i kept = _mm256_set1_epi64x((int64_t)kept_bits);
    const __m256i largest = _mm256_set1_epi64x((int64_t)(limit - 1));

    dcsfl_coefficients_verify(out, count, in, width);
    DCSFL_VERIFY(limit >= 1 && limit <= kept_bits + 1);
    if (count == 0)
        return 0;
    for (size_t g = 0; g < groups; g++, in += width) {
        const __m256i first_four = unpack_half(&lower, in, kept), last_four = unpack_half(&upper, in, kept);
        const __m256i too_large = /* the sign of each lane of largest - coefficient */
            _mm256_or_si256(_mm256_sub_epi64(largest, first_four), _mm256_sub_epi64(largest, last_four));
        store256(out + 8 * g, first_four);
        store256(out + 8 * g + 4, last_four);
        if (_mm256_movemask_pd(_mm256_castsi256_pd(too_large)) != 0)
            return 8 * g + dcsfl_first_at_or_above(out + 8 * g, 8, limit);
    }
    dcsfl_unpack_coefficient_stream(out + 8 * groups, in, count - 8 * groups, width);
    return 8 * groups + dcsfl_first_at_or_above(out + 8 * groups, count - 8 * groups, limit);
}

const struct dcsfl_coefficient_kernels dcsfl_coefficients_avx2 = {pack, unpack};
