/*
 * Transforms with AVX2 and FMA, compiled with -mavx2 -mfma and called only where DCSFL_CPU_AVX2 is set.
 *
 * Between its first load and its last store a polynomial is signed integers in doubles. The product x w mod q, after
 * J. van der Hoeven, G. Lecerf, G. Quintin, "Modular SIMD arithmetic in Mathemagix", ACM TOMS 43, 2016, is
 *     h = fl(x w), l = x w - h (exact by FMA), c = fl(x (w / q)) to the nearest integer, r = (h - c q) + l.
 *
 * Ranges, in units of q (q is 0.985 2^50, so that 4 q < 2^52). For |w| <= 1/2 and |x| <= X <= 4:
 *   - |x w / q| <= 2 q < 2^51, so that an FMA that adds 1.5 2^52 rounds once, to an integer. The table's w / q is off
 *     by 2^-53 of itself, so c by X q / 2 2^-53 < X / 16 besides its rounding: |r| <= 1/2 + X / 16.
 *   - |l| <= ulp(h) / 2 <= 2^48, so h - c q is an integer below 2^53: both last operations are exact.
 * A forward butterfly (a, b) -> (a + w b, a - w b) takes A, B <= 4 to A + 1/2 + B / 16. "Reduced" is 1/2 and a hair,
 * the result of x - fl(x / q) q for any |x| < 2^53 (8 in these units). Rounding to nearest is all that is assumed of
 * the environment; no value is subnormal.
 *
 * Layers are done in pairs, and those of strides 2 and 1, within registers, one by one. More of them at once would
 * save loads and stores, but chains that long leave the processor too little to do side by side: it measured slower.
 */
#include <immintrin.h>

#include "checks.h"
#include "scale.h"
#include "tables.h"

#define INLINE static inline __attribute__((always_inline))

typedef __m256d vector;

INLINE vector splat(double value) {
    return _mm256_set1_pd(value);
}

/* --- residues ------------------------------------------------------------------------------------- */

/* Roots, or a factor's values, with their ratios to q. */
struct multiplier {
    vector value;
    vector ratio;
};

/* x y to the nearest integer, for |x y| < 2^51. */
INLINE vector multiply_round(vector x, vector y) {
    const vector magic = splat(0x1.8p52);
    return _mm256_sub_pd(_mm256_fmadd_pd(x, y, magic), magic);
}

INLINE vector multiply_mod(vector x, struct multiplier w) {
    const vector multiple = multiply_round(x, w.ratio);
    const vector high = _mm256_mul_pd(x, w.value), low = _mm256_fmsub_pd(x, w.value, high);
    return _mm256_add_pd(_mm256_fnmadd_pd(multiple, splat((double)DCSFL_Q), high), low);
}

INLINE vector reduce_mod(vector x) {
    const vector multiple = multiply_round(x, splat(1.0 / (double)DCSFL_Q));
    return _mm256_fnmadd_pd(multiple, splat((double)DCSFL_Q), x);
}

/* Integers below 2^52 lie in the low bits of the double 2^52 + x. */
INLINE vector from_integers(__m256i x) {
    const vector two52 = splat(0x1p52);
    return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(x, _mm256_castpd_si256(two52))), two52);
}

/*
 * |x| <= 4, to integers in [0, q). Half of 1/q above x / q there is no integer within 1/2q < 2^-50, and an FMA's
 * error is below 2^-52 (half an ulp of at most 4) + 4 2^-55 (1/q is off by 2^-55 of itself): its floor is
 * that of x / q.
 */
INLINE __m256i to_integers(vector x) {
    const vector two52 = splat(0x1p52), inverse = splat(1.0 / (double)DCSFL_Q), nudge = splat(0.5 / (double)DCSFL_Q);
    const vector multiple = _mm256_floor_pd(_mm256_fmadd_pd(x, inverse, nudge));
    const vector residue = _mm256_fnmadd_pd(multiple, splat((double)DCSFL_Q), _mm256_add_pd(x, two52));
    return _mm256_castpd_si256(_mm256_xor_pd(residue, two52));
}

/* --- memory --------------------------------------------------------------------------------------- */

/* A polynomial's words hold integers at the border and doubles in between. */
enum form { AS_INTEGERS, AS_DOUBLES };

INLINE vector load(const uint64_t *from, enum form form) {
    const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return form == AS_INTEGERS ? from_integers(bits) : _mm256_castsi256_pd(bits);
}

INLINE void store_bits(uint64_t *to, __m256i bits) {
    _mm256_storeu_si256((__m256i *)(void *)to, bits);
}

INLINE void store(uint64_t *to, vector x) {
    store_bits(to, _mm256_castpd_si256(x));
}

/* The quarters of a block; spelled out, since -O2 leaves such loops, and with them x in memory. */
INLINE void load_quarters(vector x[4], const uint64_t *from, size_t quarter, enum form form) {
    x[0] = load(from, form);
    x[1] = load(from + quarter, form);
    x[2] = load(from + 2 * quarter, form);
    x[3] = load(from + 3 * quarter, form);
}

INLINE void store_quarters(uint64_t *to, size_t quarter, const vector x[4]) {
    store(to, x[0]);
    store(to + quarter, x[1]);
    store(to + 2 * quarter, x[2]);
    store(to + 3 * quarter, x[3]);
}

INLINE struct multiplier root_of_block(const struct dcsfl_ring_roots *roots, size_t at) {
    const struct multiplier w = {splat(roots->balanced[at]), splat(roots->ratio[at])};
    return w;
}

INLINE vector pair(const double *from) {
    return _mm256_permute_pd(_mm256_broadcast_pd((const __m128d *)(const void *)from), 0xc);
}

/* Of 2 blocks, 2 lanes each. */
INLINE struct multiplier roots_of_2(const struct dcsfl_ring_roots *roots, size_t at) {
    const struct multiplier w = {pair(roots->balanced + at), pair(roots->ratio + at)};
    return w;
}

/* Of 4 blocks. */
INLINE struct multiplier roots_of_4(const struct dcsfl_ring_roots *roots, size_t at) {
    const struct multiplier w = {_mm256_loadu_pd(roots->balanced + at), _mm256_loadu_pd(roots->ratio + at)};
    return w;
}

/* --- forward -------------------------------------------------------------------------------------- */

INLINE void forward_butterfly(vector *a, vector *b, struct multiplier w) {
    const vector turned = multiply_mod(*b, w);
    *b = _mm256_sub_pd(*a, turned);
    *a = _mm256_add_pd(*a, turned);
}

/* One layer of one block, from integers: 1 comes out as 1.57. */
static void forward_first_layer(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t half = ring->degree / 2;
    const struct multiplier w = root_of_block(&ring->forward, 1);

    for (size_t j = 0; j < half; j += 4) {
        vector a = load(poly + j, AS_INTEGERS), b = load(poly + half + j, AS_INTEGERS);
        forward_butterfly(&a, &b, w);
        store(poly + j, a);
        store(poly + half + j, b);
    }
}

/*
 * Two layers. Not reduced first, X <= 2.17 comes out as 3.5 by way of 2.81 (and 1 as 2.17 by way of 1.57). Reduced,
 * i.e. those two quarters that the first layer does not multiply, X <= 4 comes out as 1.83 by way of 1.25.
 */
INLINE void forward_pass(const struct dcsfl_ring *ring, uint64_t *poly, size_t blocks, enum form form, int reduced) {
    const size_t quarter = ring->degree / (4 * blocks);
    const struct dcsfl_ring_roots *roots = &ring->forward;

    for (size_t root = blocks; root < 2 * blocks; root++, poly += 4 * quarter) {
        const struct multiplier w_outer = root_of_block(roots, root);
        const struct multiplier w_inner0 = root_of_block(roots, 2 * root);
        const struct multiplier w_inner1 = root_of_block(roots, 2 * root + 1);
        for (size_t j = 0; j < quarter; j += 4) {
            vector x[4];
            load_quarters(x, poly + j, quarter, form);
            if (reduced) {
                x[0] = reduce_mod(x[0]);
                x[1] = reduce_mod(x[1]);
            }
            forward_butterfly(&x[0], &x[2], w_outer);
            forward_butterfly(&x[1], &x[3], w_outer);
            forward_butterfly(&x[0], &x[1], w_inner0);
            forward_butterfly(&x[2], &x[3], w_inner1);
            store_quarters(poly + j, quarter, x);
        }
    }
}

/*
 * Stride 2. Of the 8 values from `poly` on, a0 .. a3 are block `at` and b0 .. b3 the next one. They are left as a0
 * a1 b0 b1 a2 a3 b2 b3, for the last layer.
 */
static void forward_stride_2(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t blocks = ring->degree / 4;

    for (size_t at = blocks; at < 2 * blocks; at += 2, poly += 8) {
        const vector a = load(poly, AS_DOUBLES), b = load(poly + 4, AS_DOUBLES);
        vector low = _mm256_permute2f128_pd(a, b, 0x20), high = _mm256_permute2f128_pd(a, b, 0x31);
        forward_butterfly(&low, &high, roots_of_2(&ring->forward, at));
        store(poly, low);
        store(poly + 4, high);
    }
}

/* Stride 1, on what stride 2 leaves, to integers in order. */
static void forward_stride_1(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t blocks = ring->degree / 2;

    for (size_t at = blocks; at < 2 * blocks; at += 4, poly += 8) {
        vector low = load(poly, AS_DOUBLES), high = load(poly + 4, AS_DOUBLES);
        vector even = _mm256_unpacklo_pd(low, high); /* a0 a2 b0 b2 */
        vector odd = _mm256_unpackhi_pd(low, high);  /* a1 a3 b1 b3 */
        forward_butterfly(&even, &odd, roots_of_4(&ring->forward, at));
        low = _mm256_unpacklo_pd(even, odd);
        high = _mm256_unpackhi_pd(even, odd);
        store_bits(poly, to_integers(_mm256_permute2f128_pd(low, high, 0x20)));
        store_bits(poly + 4, to_integers(_mm256_permute2f128_pd(low, high, 0x31)));
    }
}

/* Passes that reduce and passes that do not take turns, so that the one before the last pass does. */
static void forward(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t last_blocks = ring->degree / 4;
    size_t blocks = 2;
    int reduced;

    dcsfl_ring_verify_poly(poly);
    if ((last_blocks & 0xaaa) != 0) /* an odd number of layers before the last pass */
        forward_first_layer(ring, poly);
    else {
        forward_pass(ring, poly, 1, AS_INTEGERS, 0);
        blocks = 4;
    }
    reduced = (last_blocks / blocks & 0x444) != 0; /* 4^1, 4^3 or 4^5: an odd number of passes to come */
    for (; blocks < last_blocks; blocks *= 4, reduced = !reduced)
        if (reduced)
            forward_pass(ring, poly, blocks, AS_DOUBLES, 1);
        else
            forward_pass(ring, poly, blocks, AS_DOUBLES, 0);
    forward_stride_2(ring, poly); /* 1.83 becomes 3.1 by way of 2.45 */
    forward_stride_1(ring, poly);
}

/* --- inverse -------------------------------------------------------------------------------------- */

INLINE void inverse_butterfly(vector *a, vector *b, struct multiplier w) {
    const vector difference = _mm256_sub_pd(*a, *b);
    *a = _mm256_add_pd(*a, *b);
    *b = multiply_mod(difference, w);
}

INLINE void inverse_two_layers(vector x[4], struct multiplier w_outer, struct multiplier w_inner0,
                               struct multiplier w_inner1) {
    inverse_butterfly(&x[0], &x[1], w_inner0);
    inverse_butterfly(&x[2], &x[3], w_inner1);
    inverse_butterfly(&x[0], &x[2], w_outer);
    inverse_butterfly(&x[1], &x[3], w_outer);
}

/* Stride 1. What is left of a0 .. a3 and b0 .. b3 is a0 a1 b0 b1 a2 a3 b2 b3. X <= 1 gives 2 and 0.63. */
static void inverse_stride_1(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t blocks = ring->degree / 2;

    for (size_t at = blocks; at < 2 * blocks; at += 4, poly += 8) {
        const vector a = load(poly, AS_DOUBLES), b = load(poly + 4, AS_DOUBLES);
        const vector low = _mm256_permute2f128_pd(a, b, 0x20), high = _mm256_permute2f128_pd(a, b, 0x31);
        vector even = _mm256_unpacklo_pd(low, high), odd = _mm256_unpackhi_pd(low, high);
        inverse_butterfly(&even, &odd, roots_of_4(&ring->inverse, at));
        store(poly, _mm256_unpacklo_pd(even, odd));
        store(poly + 4, _mm256_unpackhi_pd(even, odd));
    }
}

/* Stride 2, on what stride 1 leaves, in order. X <= 2 gives sums <= 4, which are reduced, and products <= 0.75. */
static void inverse_stride_2(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t blocks = ring->degree / 4;

    for (size_t at = blocks; at < 2 * blocks; at += 2, poly += 8) {
        vector low = load(poly, AS_DOUBLES), high = load(poly + 4, AS_DOUBLES);
        inverse_butterfly(&low, &high, roots_of_2(&ring->inverse, at));
        low = reduce_mod(low);
        store(poly, _mm256_permute2f128_pd(low, high, 0x20));
        store(poly + 4, _mm256_permute2f128_pd(low, high, 0x31));
    }
}

/*
 * Two layers. X <= 1 gives sums <= 2 and products <= 0.63, then sums <= 4 and products <= 0.75; the sums, which are
 * the first and the second quarter, are reduced.
 */
static void inverse_pass(const struct dcsfl_ring *ring, uint64_t *poly, size_t blocks) {
    const size_t quarter = ring->degree / (4 * blocks);
    const struct dcsfl_ring_roots *roots = &ring->inverse;

    for (size_t root = blocks; root < 2 * blocks; root++, poly += 4 * quarter) {
        const struct multiplier w_outer = root_of_block(roots, root);
        const struct multiplier w_inner0 = root_of_block(roots, 2 * root);
        const struct multiplier w_inner1 = root_of_block(roots, 2 * root + 1);
        for (size_t j = 0; j < quarter; j += 4) {
            vector x[4];
            load_quarters(x, poly + j, quarter, AS_DOUBLES);
            inverse_two_layers(x, w_outer, w_inner0, w_inner1);
            x[0] = reduce_mod(x[0]);
            x[1] = reduce_mod(x[1]);
            store_quarters(poly + j, quarter, x);
        }
    }
}

/* One layer of one block, to integers. */
static void inverse_last_layer(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t half = ring->degree / 2;
    const struct multiplier w = root_of_block(&ring->inverse, 1);

    for (size_t j = 0; j < half; j += 4) {
        vector a = load(poly + j, AS_DOUBLES), b = load(poly + half + j, AS_DOUBLES);
        inverse_butterfly(&a, &b, w);
        store_bits(poly + j, to_integers(a));
        store_bits(poly + half + j, to_integers(b));
    }
}

/* Two layers of one block, to integers. */
static void inverse_last_pass(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t quarter = ring->degree / 4;
    const struct multiplier w_outer = root_of_block(&ring->inverse, 1);
    const struct multiplier w_inner0 = root_of_block(&ring->inverse, 2), w_inner1 = root_of_block(&ring->inverse, 3);

    for (size_t j = 0; j < quarter; j += 4) {
        vector x[4];
        load_quarters(x, poly + j, quarter, AS_DOUBLES);
        inverse_two_layers(x, w_outer, w_inner0, w_inner1);
        store_bits(poly + j, to_integers(x[0]));
        store_bits(poly + quarter + j, to_integers(x[1]));
        store_bits(poly + 2 * quarter + j, to_integers(x[2]));
        store_bits(poly + 3 * quarter + j, to_integers(x[3]));
    }
}

/* All layers, on values X <= 1 that have been multiplied by 1/N before. */
static void inverse_layers(const struct dcsfl_ring *ring, uint64_t *poly) {
    size_t blocks = ring->degree / 16; /* of the pass; 0 where one layer is left */

    inverse_stride_1(ring, poly);
    inverse_stride_2(ring, poly);
    for (; blocks > 1; blocks /= 4)
        inverse_pass(ring, poly, blocks);
    if (blocks == 1)
        inverse_last_pass(ring, poly);
    else
        inverse_last_layer(ring, poly);
}

static void inverse(const struct dcsfl_ring *ring, uint64_t *poly) {
    const struct multiplier scale = {splat(ring->scale_balanced), splat(ring->scale_ratio)};

    dcsfl_ring_verify_poly(poly);
    for (size_t i = 0; i < ring->degree; i += 4)
        store(poly + i, multiply_mod(load(poly + i, AS_INTEGERS), scale));
    inverse_layers(ring, poly);
}

/*
 * A factor holds f / N in doubles (|f / N| <= 0.57), so that products need no division by N, then its ratio to q,
 * off by 2^-53 (1 + 1/4) of itself: a product with x <= 1 is at most 1/2 + 0.57 / 8 1.25 < 0.6.
 */
static void prepare(const struct dcsfl_ring *ring, struct dcsfl_ring_factor *factor, const uint64_t *transformed) {
    const struct multiplier scale = {splat(ring->scale_balanced), splat(ring->scale_ratio)};

    for (size_t i = 0; i < ring->degree; i += 4) {
        const vector value = multiply_mod(load(transformed + i, AS_INTEGERS), scale);
        store(factor->data + i, value);
        store(factor->data + DCSFL_RING_MAX_DEGREE + i, _mm256_mul_pd(value, splat(1.0 / (double)DCSFL_Q)));
    }
}

static void multiply(const struct dcsfl_ring *ring, uint64_t *out, const uint64_t *transformed,
                     const struct dcsfl_ring_factor *factor) {
    const uint64_t *ratios = factor->data + DCSFL_RING_MAX_DEGREE;

    dcsfl_ring_verify_multiply(ring, out, transformed, factor);
    for (size_t i = 0; i < ring->degree; i += 4) {
        const struct multiplier w = {load(factor->data + i, AS_DOUBLES), load(ratios + i, AS_DOUBLES)};
        store(out + i, multiply_mod(load(transformed + i, AS_INTEGERS), w));
    }
    inverse_layers(ring, out);
}

static int are_below(const uint64_t *values, size_t count, uint64_t limit) {
    return dcsfl_ring_are_below(values, count, limit);
}

const struct dcsfl_ring_kernels dcsfl_ring_avx2 = {
    .forward = forward,
    .inverse = inverse,
    .prepare = prepare,
    .multiply = multiply,
    .cover = dcsfl_ring_cover_avx2,
    .uncover = dcsfl_ring_uncover_avx2,
    .reduce = dcsfl_ring_reduce_avx2,
    .are_below = are_below,
};
