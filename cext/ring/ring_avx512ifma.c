/*
 * Transforms with AVX-512 IFMA on 8 lanes, called only where DCSFL_CPU_AVX512_IFMA is set: the butterflies of modq.h
 * on words of 52 bits, since vpmadd52 multiplies those. 4q < 2^52, so values stay in [0, 4q) on the way forward and
 * in [0, 2q) on the way back (D. Harvey, "Faster arithmetic for number-theoretic transforms", J. Symb. Comp. 60,
 * 2014).
 *
 * Layers are done in pairs, the three smallest ones (strides 4, 2 and 1) at once on 16 values in 2 registers.
 */
#include <immintrin.h>

#include "checks.h"
#include "scale.h"
#include "tables.h"

#define INLINE static inline __attribute__((always_inline))

typedef __m512i vector;

INLINE vector splat(uint64_t value) {
    return _mm512_set1_epi64((int64_t)value);
}

INLINE vector load(const uint64_t *from) {
    return _mm512_loadu_si512(from);
}

INLINE void store(uint64_t *to, vector value) {
    _mm512_storeu_si512(to, value);
}

/* The quarters of a block; spelled out, since -O2 leaves such loops, and with them x in memory. */
INLINE void load_quarters(vector x[4], const uint64_t *from, size_t quarter) {
    x[0] = load(from);
    x[1] = load(from + quarter);
    x[2] = load(from + 2 * quarter);
    x[3] = load(from + 3 * quarter);
}

INLINE void store_quarters(uint64_t *to, size_t quarter, const vector x[4]) {
    store(to, x[0]);
    store(to + quarter, x[1]);
    store(to + 2 * quarter, x[2]);
    store(to + 3 * quarter, x[3]);
}

/* --- residues ------------------------------------------------------------------------------------- */

/* The lesser of v and v - m as unsigned numbers: in [0, m) for v in [0, 2m). */
INLINE vector subtract_once(vector v, uint64_t m) {
    return _mm512_min_epu64(v, _mm512_sub_epi64(v, splat(m)));
}

INLINE vector canonical(vector v) {
    return subtract_once(subtract_once(v, 2 * DCSFL_Q), DCSFL_Q);
}

/* Roots, or a factor's values, with their quotients w 2^52 / q. */
struct multiplier {
    vector value;
    vector quotient;
};

/*
 * v w mod q up to a multiple of q, in [0, 2q): for v < 2^52 with the exact quotient, floor(w 2^52 / q), as
 * v w / q - floor(v w' / 2^52) < 1 + v / 2^52; for v < 2^50 with one that is less than 4 below w 2^52 / q.
 * The result is below 2^52, so that it is its own remainder by 2^52.
 */
INLINE vector multiply_lazy(vector v, struct multiplier w) {
    const vector zero = _mm512_setzero_si512(), word_mask = splat((UINT64_C(1) << 52) - 1);
    const vector multiple = _mm512_madd52hi_epu64(zero, v, w.quotient);
    const vector product = _mm512_madd52lo_epu64(zero, v, w.value);
    const vector minus_q = splat((UINT64_C(1) << 52) - DCSFL_Q);
    return _mm512_and_si512(_mm512_madd52lo_epu64(product, multiple, minus_q), word_mask);
}

/* --- roots ---------------------------------------------------------------------------------------- */

INLINE struct multiplier root_of_block(const struct dcsfl_ring_roots *roots, size_t at) {
    const struct multiplier w = {splat(roots->root[at]), splat(roots->quotient52[at])};
    return w;
}

/* Of 2 blocks, 4 lanes each. */
INLINE struct multiplier roots_of_2(const struct dcsfl_ring_roots *roots, size_t at) {
    const vector lanes = _mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1);
    const __m128i value = _mm_loadu_si128((const __m128i *)(const void *)(roots->root + at));
    const __m128i quotient = _mm_loadu_si128((const __m128i *)(const void *)(roots->quotient52 + at));
    const struct multiplier w = {_mm512_permutexvar_epi64(lanes, _mm512_castsi128_si512(value)),
                                 _mm512_permutexvar_epi64(lanes, _mm512_castsi128_si512(quotient))};
    return w;
}

/* Of 4 blocks, 2 lanes each. */
INLINE struct multiplier roots_of_4(const struct dcsfl_ring_roots *roots, size_t at) {
    const vector lanes = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    const __m256i value = _mm256_loadu_si256((const __m256i *)(const void *)(roots->root + at));
    const __m256i quotient = _mm256_loadu_si256((const __m256i *)(const void *)(roots->quotient52 + at));
    const struct multiplier w = {_mm512_permutexvar_epi64(lanes, _mm512_castsi256_si512(value)),
                                 _mm512_permutexvar_epi64(lanes, _mm512_castsi256_si512(quotient))};
    return w;
}

/* Of 8 blocks. */
INLINE struct multiplier roots_of_8(const struct dcsfl_ring_roots *roots, size_t at) {
    const struct multiplier w = {load(roots->root + at), load(roots->quotient52 + at)};
    return w;
}

/* --- butterflies ---------------------------------------------------------------------------------- */

/* (a, b) -> (a + w b, a - w b) up to multiples of q, from [0, 4q) to [0, 4q). */
INLINE void forward_butterfly(vector *a, vector *b, struct multiplier w) {
    const vector kept = subtract_once(*a, 2 * DCSFL_Q), turned = multiply_lazy(*b, w);
    *a = _mm512_add_epi64(kept, turned);
    *b = _mm512_add_epi64(_mm512_sub_epi64(kept, turned), splat(2 * DCSFL_Q));
}

/* (a, b) -> (a + b, (a - b) w) up to multiples of q, from [0, 2q) to [0, 2q). */
INLINE void inverse_butterfly(vector *a, vector *b, struct multiplier w) {
    const vector difference = _mm512_add_epi64(_mm512_sub_epi64(*a, *b), splat(2 * DCSFL_Q));
    *a = subtract_once(_mm512_add_epi64(*a, *b), 2 * DCSFL_Q);
    *b = multiply_lazy(difference, w);
}

/* --- forward -------------------------------------------------------------------------------------- */

/* One layer of one block. */
static void forward_first_layer(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t half = ring->degree / 2;
    const struct multiplier w = root_of_block(&ring->forward, 1);

    for (size_t j = 0; j < half; j += 8) {
        vector a = load(poly + j), b = load(poly + half + j);
        forward_butterfly(&a, &b, w);
        store(poly + j, a);
        store(poly + half + j, b);
    }
}

/* Two layers. */
static void forward_pass(const struct dcsfl_ring *ring, uint64_t *poly, size_t blocks) {
    const size_t quarter = ring->degree / (4 * blocks);
    const struct dcsfl_ring_roots *roots = &ring->forward;

    for (size_t root = blocks; root < 2 * blocks; root++, poly += 4 * quarter) {
        const struct multiplier w_outer = root_of_block(roots, root);
        const struct multiplier w_inner0 = root_of_block(roots, 2 * root);
        const struct multiplier w_inner1 = root_of_block(roots, 2 * root + 1);
        for (size_t j = 0; j < quarter; j += 8) {
            vector x[4];
            load_quarters(x, poly + j, quarter);
            forward_butterfly(&x[0], &x[2], w_outer);
            forward_butterfly(&x[1], &x[3], w_outer);
            forward_butterfly(&x[0], &x[1], w_inner0);
            forward_butterfly(&x[2], &x[3], w_inner1);
            store_quarters(poly + j, quarter, x);
        }
    }
}

/* Strides 4, 2, 1 of a0 .. a7 and b0 .. b7, to [0, q). Low ones meet high ones in equal lanes of two registers. */
static void forward_last_pass(const struct dcsfl_ring *ring, uint64_t *poly) {
    const struct dcsfl_ring_roots *roots = &ring->forward;
    const vector low_pairs = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const vector high_pairs = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    const vector first_half = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const vector second_half = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    const size_t blocks = ring->degree / 8;

    for (size_t at = blocks; at < 2 * blocks; at += 2, poly += 16) {
        const vector a = load(poly), b = load(poly + 8);
        vector low = _mm512_shuffle_i64x2(a, b, 0x44);  /* a0 a1 a2 a3 b0 b1 b2 b3 */
        vector high = _mm512_shuffle_i64x2(a, b, 0xee); /* a4 .. a7 b4 .. b7 */
        vector x, y;
        forward_butterfly(&low, &high, roots_of_2(roots, at));
        x = _mm512_permutex2var_epi64(low, low_pairs, high);  /* a0 a1 a4 a5 b0 b1 b4 b5 */
        y = _mm512_permutex2var_epi64(low, high_pairs, high); /* a2 a3 a6 a7 b2 b3 b6 b7 */
        forward_butterfly(&x, &y, roots_of_4(roots, 2 * at));
        low = _mm512_unpacklo_epi64(x, y);  /* a0 a2 a4 a6 b0 b2 b4 b6 */
        high = _mm512_unpackhi_epi64(x, y); /* a1 a3 a5 a7 b1 b3 b5 b7 */
        forward_butterfly(&low, &high, roots_of_8(roots, 4 * at));
        low = canonical(low);
        high = canonical(high);
        store(poly, _mm512_permutex2var_epi64(low, first_half, high));
        store(poly + 8, _mm512_permutex2var_epi64(low, second_half, high));
    }
}

static void forward(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t last_blocks = ring->degree / 8;
    size_t blocks = 1;

    dcsfl_ring_verify_poly(poly);
    if ((last_blocks & 0xaaa) != 0) { /* an odd number of layers before the last pass */
        forward_first_layer(ring, poly);
        blocks = 2;
    }
    for (; blocks < last_blocks; blocks *= 4)
        forward_pass(ring, poly, blocks);
    forward_last_pass(ring, poly);
}

/* --- inverse -------------------------------------------------------------------------------------- */

/* Strides 1, 2, 4, the mirror image of forward_last_pass. */
static void inverse_first_pass(const struct dcsfl_ring *ring, uint64_t *poly) {
    const struct dcsfl_ring_roots *roots = &ring->inverse;
    const vector even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const vector odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    const vector low_pairs = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const vector high_pairs = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    const size_t blocks = ring->degree / 8;

    for (size_t at = blocks; at < 2 * blocks; at += 2, poly += 16) {
        const vector a = load(poly), b = load(poly + 8);
        vector low = _mm512_permutex2var_epi64(a, even, b); /* a0 a2 a4 a6 b0 b2 b4 b6 */
        vector high = _mm512_permutex2var_epi64(a, odd, b); /* a1 a3 a5 a7 b1 b3 b5 b7 */
        vector x, y;
        inverse_butterfly(&low, &high, roots_of_8(roots, 4 * at));
        x = _mm512_unpacklo_epi64(low, high); /* a0 a1 a4 a5 b0 b1 b4 b5 */
        y = _mm512_unpackhi_epi64(low, high); /* a2 a3 a6 a7 b2 b3 b6 b7 */
        inverse_butterfly(&x, &y, roots_of_4(roots, 2 * at));
        low = _mm512_permutex2var_epi64(x, low_pairs, y);   /* a0 .. a3 b0 .. b3 */
        high = _mm512_permutex2var_epi64(x, high_pairs, y); /* a4 .. a7 b4 .. b7 */
        inverse_butterfly(&low, &high, roots_of_2(roots, at));
        store(poly, _mm512_shuffle_i64x2(low, high, 0x44));
        store(poly + 8, _mm512_shuffle_i64x2(low, high, 0xee));
    }
}

INLINE void inverse_two_layers(vector x[4], struct multiplier w_outer, struct multiplier w_inner0,
                               struct multiplier w_inner1) {
    inverse_butterfly(&x[0], &x[1], w_inner0);
    inverse_butterfly(&x[2], &x[3], w_inner1);
    inverse_butterfly(&x[0], &x[2], w_outer);
    inverse_butterfly(&x[1], &x[3], w_outer);
}

static void inverse_pass(const struct dcsfl_ring *ring, uint64_t *poly, size_t blocks) {
    const size_t quarter = ring->degree / (4 * blocks);
    const struct dcsfl_ring_roots *roots = &ring->inverse;

    for (size_t root = blocks; root < 2 * blocks; root++, poly += 4 * quarter) {
        const struct multiplier w_outer = root_of_block(roots, root);
        const struct multiplier w_inner0 = root_of_block(roots, 2 * root);
        const struct multiplier w_inner1 = root_of_block(roots, 2 * root + 1);
        for (size_t j = 0; j < quarter; j += 8) {
            vector x[4];
            load_quarters(x, poly + j, quarter);
            inverse_two_layers(x, w_outer, w_inner0, w_inner1);
            store_quarters(poly + j, quarter, x);
        }
    }
}

/* One layer of one block, to [0, q). */
static void inverse_last_layer(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t half = ring->degree / 2;
    const struct multiplier w = root_of_block(&ring->inverse, 1);

    for (size_t j = 0; j < half; j += 8) {
        vector a = load(poly + j), b = load(poly + half + j);
        inverse_butterfly(&a, &b, w);
        store(poly + j, subtract_once(a, DCSFL_Q));
        store(poly + half + j, subtract_once(b, DCSFL_Q));
    }
}

/* Two layers of one block, to [0, q). */
static void inverse_last_pass(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t quarter = ring->degree / 4;
    const struct multiplier w_outer = root_of_block(&ring->inverse, 1);
    const struct multiplier w_inner0 = root_of_block(&ring->inverse, 2), w_inner1 = root_of_block(&ring->inverse, 3);

    for (size_t j = 0; j < quarter; j += 8) {
        vector x[4];
        load_quarters(x, poly + j, quarter);
        inverse_two_layers(x, w_outer, w_inner0, w_inner1);
        store(poly + j, subtract_once(x[0], DCSFL_Q));
        store(poly + quarter + j, subtract_once(x[1], DCSFL_Q));
        store(poly + 2 * quarter + j, subtract_once(x[2], DCSFL_Q));
        store(poly + 3 * quarter + j, subtract_once(x[3], DCSFL_Q));
    }
}

/* All layers, on values in [0, 2q) that have been multiplied by 1/N before. */
static void inverse_layers(const struct dcsfl_ring *ring, uint64_t *poly) {
    size_t blocks = ring->degree / 32; /* of the pass; 0 where one layer is left */

    inverse_first_pass(ring, poly);
    for (; blocks > 1; blocks /= 4)
        inverse_pass(ring, poly, blocks);
    if (blocks == 1)
        inverse_last_pass(ring, poly);
    else
        inverse_last_layer(ring, poly);
}

static void inverse(const struct dcsfl_ring *ring, uint64_t *poly) {
    const struct multiplier scale = {splat(ring->scale), splat(ring->scale_quotient52)};

    dcsfl_ring_verify_poly(poly);
    for (size_t i = 0; i < ring->degree; i += 8)
        store(poly + i, multiply_lazy(load(poly + i), scale));
    inverse_layers(ring, poly);
}

/*
 * A factor holds f / N mod q, so that products need no division by N, then the quotients: with M = 2^101 / q - e,
 * 0 <= e < 1, the product w 2^2 M / 2^52 falls short of w 2^51 / q by w e / 2^50 < 1, its floor by less than 2;
 * doubled, 4.
 */
static void prepare(const struct dcsfl_ring *ring, struct dcsfl_ring_factor *factor, const uint64_t *transformed) {
    const struct multiplier scale = {splat(ring->scale), splat(ring->scale_quotient52)};
    const vector zero = _mm512_setzero_si512(), reciprocal = splat(UINT64_C(0x8208208208206)); /* floor(2^101 / q) */

    for (size_t i = 0; i < ring->degree; i += 8) {
        const vector w = subtract_once(multiply_lazy(load(transformed + i), scale), DCSFL_Q);
        const vector half = _mm512_madd52hi_epu64(zero, _mm512_slli_epi64(w, 2), reciprocal);
        store(factor->data + i, w);
        store(factor->data + DCSFL_RING_MAX_DEGREE + i, _mm512_slli_epi64(half, 1));
    }
}

static void multiply(const struct dcsfl_ring *ring, uint64_t *out, const uint64_t *transformed,
                     const struct dcsfl_ring_factor *factor) {
    const uint64_t *quotients = factor->data + DCSFL_RING_MAX_DEGREE;

    dcsfl_ring_verify_multiply(ring, out, transformed, factor);
    for (size_t i = 0; i < ring->degree; i += 8) {
        const struct multiplier w = {load(factor->data + i), load(quotients + i)};
        store(out + i, multiply_lazy(load(transformed + i), w));
    }
    inverse_layers(ring, out);
}

static int are_below(const uint64_t *values, size_t count, uint64_t limit) {
    return dcsfl_ring_are_below(values, count, limit);
}

const struct dcsfl_ring_kernels dcsfl_ring_avx512ifma = {
    .forward = forward,
    .inverse = inverse,
    .prepare = prepare,
    .multiply = multiply,
    .cover = dcsfl_ring_cover_avx512ifma,
    .uncover = dcsfl_ring_uncover_avx512ifma,
    .reduce = dcsfl_ring_reduce_avx512ifma,
    .are_below = are_below,
};
