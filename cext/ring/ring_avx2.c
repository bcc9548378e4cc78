/*
 * Transforms with AVX2 and FMA, compiled with -mavx2 -mfma and called only where DCSFL_CPU_AVX2 is set.
 *
 * Between its first load and its last store a polynomial is signed integers in doubles. The product x w mod q, after
 * J. van der Hoeven, G. Lecerf, P. Quintin, "Modular SIMD arithmetic in Mathemagix", ACM TOMS 43, 2016:
 *     h = fl(x w), l = x w - h (exact by FMA), c = fl(h / q) to the nearest integer, r = (h - c q) + l.
 *
 * Ranges, in units of q (q is 0.985 2^50, so that 4 q < 2^52). For |w| <= 1/2 and |x| <= X <= 4:
 *   - |x w / q| <= 2q < 2^51, so adding 1.5 2^52 rounds h / q to an integer. Of its errors, h has 2^-53 and the constant
 *     1/q 2^-55, relative to at most X q / 2: below X / 12. Hence |r| <= 1/2 + X / 12.
 *   - |l| <= ulp(h) / 2 <= 2^48, so h - c q is an integer below 2^53: both last operations are exact.
 * A forward butterfly (a, b) -> (a + w b, a - w b) takes A, B <= 4 to A + 1/2 + B / 12. "Reduced" is 1/2 and a hair,
 * the result of x - fl(x / q) q for any |x| < 2^53 (8 in these units). Rounding to nearest is all that is assumed of
 * the environment; no value is subnormal.
 *
 * Layers are done in pairs, the four smallest ones (strides 8 to 1) at once on 16 values in 4 registers.
 */
#include <immintrin.h>

#include "scale.h"
#include "tables.h"

#define INLINE static inline __attribute__((always_inline))

typedef __m256d vector;

INLINE vector splat(double value) {
    return _mm256_set1_pd(value);
}

/* --- residues ------------------------------------------------------------------------------------- */

/* x / q to the nearest integer, for |x / q| < 2^51. */
INLINE vector divide(vector x) {
    const vector magic = splat(0x1.8p52);
    return _mm256_sub_pd(_mm256_fmadd_pd(x, splat(1.0 / (double)DCSFL_Q), magic), magic);
}

INLINE vector multiply_mod(vector x, vector w) {
    const vector high = _mm256_mul_pd(x, w), low = _mm256_fmsub_pd(x, w, high);
    return _mm256_add_pd(_mm256_fnmadd_pd(divide(high), splat((double)DCSFL_Q), high), low);
}

INLINE vector reduce_mod(vector x) {
    return _mm256_fnmadd_pd(divide(x), splat((double)DCSFL_Q), x);
}

/* Integers below 2^52 lie in the low bits of the double 2^52 + x. */
INLINE vector from_integers(__m256i x) {
    const vector two52 = splat(0x1p52);
    return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(x, _mm256_castpd_si256(two52))), two52);
}

/* x in (-1, 1), to integers in [0, q). */
INLINE __m256i to_integers(vector x) {
    const vector two52 = splat(0x1p52);
    const vector is_negative = _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_LT_OQ);
    const vector canonical = _mm256_add_pd(x, _mm256_and_pd(is_negative, splat((double)DCSFL_Q)));
    return _mm256_castpd_si256(_mm256_xor_pd(_mm256_add_pd(canonical, two52), two52));
}

/* --- memory --------------------------------------------------------------------------------------- */

/* A polynomial's words hold integers at the border and doubles in between. */
enum form { AS_INTEGERS, AS_DOUBLES };

INLINE vector load(const uint64_t *from, enum form form) {
    const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return form == AS_INTEGERS ? from_integers(bits) : _mm256_castsi256_pd(bits);
}

INLINE void store(uint64_t *to, vector x) {
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_castpd_si256(x));
}

/* --- butterflies ---------------------------------------------------------------------------------- */

INLINE void forward_butterfly(vector *a, vector *b, vector w) {
    const vector turned = multiply_mod(*b, w);
    *b = _mm256_sub_pd(*a, turned);
    *a = _mm256_add_pd(*a, turned);
}

INLINE void inverse_butterfly(vector *a, vector *b, vector w) {
    const vector difference = _mm256_sub_pd(*a, *b);
    *a = _mm256_add_pd(*a, *b);
    *b = multiply_mod(difference, w);
}

/*
 * Two layers on a quarter of a block each. Not reduced first, X <= 2.22 comes out as X + 1 + ... <= 3.7 by way of 2.91.
 * Reduced, i.e. those two that the first layer does not multiply, X <= 4 comes out as 2 by way of 1.34.
 */
INLINE void forward_two_layers(vector x[4], vector w_outer, vector w_inner0, vector w_inner1, int reduced) {
    if (reduced) {
        x[0] = reduce_mod(x[0]);
        x[1] = reduce_mod(x[1]);
    }
    forward_butterfly(&x[0], &x[2], w_outer);
    forward_butterfly(&x[1], &x[3], w_outer);
    forward_butterfly(&x[0], &x[1], w_inner0);
    forward_butterfly(&x[2], &x[3], w_inner1);
}

/*
 * The mirror image. X <= 1 gives sums <= 2 and products <= 0.67, then sums <= 4 and products <= 0.84. `reduced` brings
 * the sums, the first and the second of each four, back to 1/2, so that X <= 1 holds again.
 */
INLINE void inverse_two_layers(vector x[4], vector w_inner0, vector w_inner1, vector w_outer, int reduced) {
    inverse_butterfly(&x[0], &x[1], w_inner0);
    inverse_butterfly(&x[2], &x[3], w_inner1);
    inverse_butterfly(&x[0], &x[2], w_outer);
    inverse_butterfly(&x[1], &x[3], w_outer);
    if (reduced) {
        x[0] = reduce_mod(x[0]);
        x[1] = reduce_mod(x[1]);
    }
}

/* --- forward -------------------------------------------------------------------------------------- */

/* One layer of one block, from integers: 1 comes out as 1.59. */
static void forward_first_layer(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t half = ring->degree / 2;
    const vector w = splat(ring->forward.balanced[1]);

    for (size_t j = 0; j < half; j += 4) {
        vector a = load(poly + j, AS_INTEGERS), b = load(poly + half + j, AS_INTEGERS);
        forward_butterfly(&a, &b, w);
        store(poly + j, a);
        store(poly + half + j, b);
    }
}

INLINE void forward_pass(const struct dcsfl_ring *ring, uint64_t *poly, size_t blocks, enum form form, int reduced) {
    const size_t quarter = ring->degree / (4 * blocks);
    const double *roots = ring->forward.balanced;

    for (size_t block = 0; block < blocks; block++) {
        const vector w_outer = splat(roots[blocks + block]);
        const vector w_inner0 = splat(roots[2 * (blocks + block)]);
        const vector w_inner1 = splat(roots[2 * (blocks + block) + 1]);
        uint64_t *at = poly + 4 * quarter * block;
        for (size_t j = 0; j < quarter; j += 4, at += 4) {
            vector x[4];
            for (size_t k = 0; k < 4; k++)
                x[k] = load(at + k * quarter, form);
            forward_two_layers(x, w_outer, w_inner0, w_inner1, reduced);
            for (size_t k = 0; k < 4; k++)
                store(at + k * quarter, x[k]);
        }
    }
}

/* Strides 2 and 1 of the 8 values in a and b, whose blocks of 4 are blocks `at` and at + 1 of N / 4. */
INLINE void forward_last_layers(vector *a, vector *b, const double *roots, size_t at) {
    /* a0 a1 b0 b1, a2 a3 b2 b3 */
    vector low = _mm256_permute2f128_pd(*a, *b, 0x20), high = _mm256_permute2f128_pd(*a, *b, 0x31), even, odd;
    const vector w_pair = _mm256_broadcast_pd((const __m128d *)(const void *)(roots + at));

    forward_butterfly(&low, &high, _mm256_permute_pd(w_pair, 0xc));
    even = _mm256_unpacklo_pd(low, high); /* a0 a2 b0 b2 */
    odd = _mm256_unpackhi_pd(low, high);
    forward_butterfly(&even, &odd, _mm256_loadu_pd(roots + 2 * at));
    low = _mm256_unpacklo_pd(even, odd);
    high = _mm256_unpackhi_pd(even, odd);
    *a = _mm256_permute2f128_pd(low, high, 0x20);
    *b = _mm256_permute2f128_pd(low, high, 0x31);
}

/* Strides 8, 4, 2, 1, to integers: X <= 4 becomes 3.4 by way of 1.34, 1.95 and 2.62. */
static void forward_last_pass(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t blocks = ring->degree / 16;
    const double *roots = ring->forward.balanced;

    for (size_t at = blocks; at < 2 * blocks; at++, poly += 16) {
        vector x[4];
        for (size_t k = 0; k < 4; k++)
            x[k] = load(poly + 4 * k, AS_DOUBLES);
        forward_two_layers(x, splat(roots[at]), splat(roots[2 * at]), splat(roots[2 * at + 1]), 1);
        forward_last_layers(&x[0], &x[1], roots, 4 * at);
        forward_last_layers(&x[2], &x[3], roots, 4 * at + 2);
        for (size_t k = 0; k < 4; k++)
            _mm256_storeu_si256((__m256i *)(void *)(poly + 4 * k), to_integers(reduce_mod(x[k])));
    }
}

/* Passes that reduce and passes that do not take turns, so that the last one does. */
static void forward(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t last_blocks = ring->degree / 16;
    size_t blocks = 2, passes_left = 0;

    dcsfl_ring_verify_poly(poly);
    for (size_t left = last_blocks; left >= 4; left /= 4)
        passes_left++;
    if ((last_blocks & 0xaaa) != 0) /* an odd number of layers before the last pass */
        forward_first_layer(ring, poly);
    else {
        forward_pass(ring, poly, 1, AS_INTEGERS, 0); /* 1 comes out as 2.22 */
        blocks = 4;
        passes_left--;
    }
    for (; passes_left > 0; passes_left--, blocks *= 4)
        if (passes_left % 2 == 0)
            forward_pass(ring, poly, blocks, AS_DOUBLES, 1);
        else
            forward_pass(ring, poly, blocks, AS_DOUBLES, 0);
    forward_last_pass(ring, poly);
}

/* --- inverse -------------------------------------------------------------------------------------- */

/* Strides 1 and 2, the mirror image of forward_last_layers. */
INLINE void inverse_first_layers(vector *a, vector *b, const double *roots, size_t at) {
    vector low = _mm256_permute2f128_pd(*a, *b, 0x20), high = _mm256_permute2f128_pd(*a, *b, 0x31);
    vector even = _mm256_unpacklo_pd(low, high), odd = _mm256_unpackhi_pd(low, high);
    const vector w_pair = _mm256_broadcast_pd((const __m128d *)(const void *)(roots + at));

    inverse_butterfly(&even, &odd, _mm256_loadu_pd(roots + 2 * at));
    low = _mm256_unpacklo_pd(even, odd);
    high = _mm256_unpackhi_pd(even, odd);
    inverse_butterfly(&low, &high, _mm256_permute_pd(w_pair, 0xc));
    low = reduce_mod(low); /* <= 4: both layers' sums */
    *a = _mm256_permute2f128_pd(low, high, 0x20);
    *b = _mm256_permute2f128_pd(low, high, 0x31);
}

/*
 * Strides 1, 2, 4, 8, from integers (X <= 1) or, with a factor (|w| <= 0.59), their products with it (X <= 0.6).
 * `out` may be `in`.
 */
INLINE void inverse_first_pass(const struct dcsfl_ring *ring, uint64_t *out, const uint64_t *in,
                               const struct dcsfl_ring_factor *factor) {
    const size_t blocks = ring->degree / 16;
    const double *roots = ring->inverse.balanced;

    for (size_t block = 0; block < blocks; block++) {
        const size_t at = blocks + block;
        vector x[4];
        for (size_t k = 0; k < 4; k++) {
            x[k] = load(in + 16 * block + 4 * k, AS_INTEGERS);
            if (factor != NULL)
                x[k] = multiply_mod(x[k], load(factor->data + 16 * block + 4 * k, AS_DOUBLES));
        }
        inverse_first_layers(&x[0], &x[1], roots, 4 * at);
        inverse_first_layers(&x[2], &x[3], roots, 4 * at + 2);
        inverse_two_layers(x, splat(roots[2 * at]), splat(roots[2 * at + 1]), splat(roots[at]), 1);
        for (size_t k = 0; k < 4; k++)
            store(out + 16 * block + 4 * k, x[k]);
    }
}

static void inverse_pass(const struct dcsfl_ring *ring, uint64_t *poly, size_t blocks) {
    const size_t quarter = ring->degree / (4 * blocks);
    const double *roots = ring->inverse.balanced;

    for (size_t block = 0; block < blocks; block++) {
        const vector w_outer = splat(roots[blocks + block]);
        const vector w_inner0 = splat(roots[2 * (blocks + block)]);
        const vector w_inner1 = splat(roots[2 * (blocks + block) + 1]);
        uint64_t *at = poly + 4 * quarter * block;
        for (size_t j = 0; j < quarter; j += 4, at += 4) {
            vector x[4];
            for (size_t k = 0; k < 4; k++)
                x[k] = load(at + k * quarter, AS_DOUBLES);
            inverse_two_layers(x, w_inner0, w_inner1, w_outer, 1);
            for (size_t k = 0; k < 4; k++)
                store(at + k * quarter, x[k]);
        }
    }
}

/* X <= 4 to integers: times 1/N, to 5/6, or only reduced. */
INLINE void store_last(uint64_t *to, vector x, int scaled, vector scale) {
    x = scaled ? multiply_mod(x, scale) : reduce_mod(x);
    _mm256_storeu_si256((__m256i *)(void *)to, to_integers(x));
}

/* The layer or the two layers of one block. */
INLINE void inverse_last_pass(const struct dcsfl_ring *ring, uint64_t *poly, int is_pair, int scaled) {
    const size_t parts = is_pair ? 4 : 2, part = ring->degree / parts;
    const double *roots = ring->inverse.balanced;
    const vector w1 = splat(roots[1]), w2 = splat(roots[2]), w3 = splat(roots[3]);
    const vector scale = splat(ring->scale_balanced);

    for (size_t j = 0; j < part; j += 4) {
        vector x[4];
        for (size_t k = 0; k < parts; k++)
            x[k] = load(poly + k * part + j, AS_DOUBLES);
        if (is_pair)
            inverse_two_layers(x, w2, w3, w1, 0);
        else
            inverse_butterfly(&x[0], &x[1], w1);
        for (size_t k = 0; k < parts; k++)
            store_last(poly + k * part + j, x[k], scaled, scale);
    }
}

/* All but the first pass. */
INLINE void inverse_later_passes(const struct dcsfl_ring *ring, uint64_t *poly, int scaled) {
    size_t blocks = ring->degree / 64; /* of the pass; 0 where one layer is left */

    for (; blocks > 1; blocks /= 4)
        inverse_pass(ring, poly, blocks);
    if (blocks == 1)
        inverse_last_pass(ring, poly, 1, scaled);
    else
        inverse_last_pass(ring, poly, 0, scaled);
}

static void inverse(const struct dcsfl_ring *ring, uint64_t *poly) {
    dcsfl_ring_verify_poly(poly);
    inverse_first_pass(ring, poly, poly, NULL);
    inverse_later_passes(ring, poly, 1);
}

/* A factor holds f / N in doubles, so that products need no division by N. */
static void prepare(const struct dcsfl_ring *ring, struct dcsfl_ring_factor *factor, const uint64_t *transformed) {
    for (size_t i = 0; i < ring->degree; i += 4)
        store(factor->data + i, multiply_mod(load(transformed + i, AS_INTEGERS), splat(ring->scale_balanced)));
}

static void multiply(const struct dcsfl_ring *ring, uint64_t *out, const uint64_t *transformed,
                     const struct dcsfl_ring_factor *factor) {
    dcsfl_ring_verify_multiply(ring, out, transformed, factor);
    inverse_first_pass(ring, out, transformed, factor);
    inverse_later_passes(ring, out, 0);
}

const struct dcsfl_ring_kernels dcsfl_ring_avx2 = {
    .forward = forward,
    .inverse = inverse,
    .prepare = prepare,
    .multiply = multiply,
    .cover = dcsfl_ring_cover_avx2,
    .uncover = dcsfl_ring_uncover_avx2,
    .reduce = dcsfl_ring_reduce_avx2,
};
