/*
 * Transforms in plain C11: butterflies after Harvey (modq.h), so lazy that no layer corrects anything: q has 50 bits,
 * and 12 layers stay below 2^63.
 */
#include "modq.h"
#include "checks.h"
#include "scale.h"
#include "tables.h"

struct multiplier {
    uint64_t root;
    uint64_t quotient;
};

static inline struct multiplier root_of_block(const struct dcsfl_ring_roots *roots, size_t at) {
    const struct multiplier w = {roots->root[at], roots->quotient64[at]};
    return w;
}

/*
 * Cooley-Tukey: (a, b) -> (a + w b, a - w b). A layer adds [0, 2q) to both, so after l layers all values are below
 * (1 + 2 l) q, and after 12 below 25 q < 2^55.
 */
static inline void forward_butterfly(uint64_t *a, uint64_t *b, struct multiplier w) {
    const uint64_t turned = dcsfl_modq_mul_lazy(*b, w.root, w.quotient);
    *b = *a - turned + 2 * DCSFL_Q;
    *a += turned;
}

static void forward_first_layer(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t half = ring->degree / 2;
    const struct multiplier w = root_of_block(&ring->forward, 1);

    for (size_t j = 0; j < half; j++)
        forward_butterfly(poly + j, poly + half + j, w);
}

/* Two layers. */
static void forward_pass(const struct dcsfl_ring *ring, uint64_t *poly, size_t blocks) {
    const size_t quarter = ring->degree / (4 * blocks);

    for (size_t root = blocks; root < 2 * blocks; root++, poly += 4 * quarter) {
        const struct multiplier w_outer = root_of_block(&ring->forward, root);
        const struct multiplier w_inner0 = root_of_block(&ring->forward, 2 * root);
        const struct multiplier w_inner1 = root_of_block(&ring->forward, 2 * root + 1);
        for (size_t j = 0; j < quarter; j++) {
            uint64_t x0 = poly[j], x1 = poly[quarter + j], x2 = poly[2 * quarter + j], x3 = poly[3 * quarter + j];
            forward_butterfly(&x0, &x2, w_outer);
            forward_butterfly(&x1, &x3, w_outer);
            forward_butterfly(&x0, &x1, w_inner0);
            forward_butterfly(&x2, &x3, w_inner1);
            poly[j] = x0;
            poly[quarter + j] = x1;
            poly[2 * quarter + j] = x2;
            poly[3 * quarter + j] = x3;
        }
    }
}

static void forward(const struct dcsfl_ring *ring, uint64_t *poly) {
    size_t blocks = 1;

    dcsfl_ring_verify_poly(poly);
    if ((ring->degree & 0xaaa) != 0) { /* an odd number of layers */
        forward_first_layer(ring, poly);
        blocks = 2;
    }
    for (; blocks < ring->degree; blocks *= 4)
        forward_pass(ring, poly, blocks);
    for (size_t i = 0; i < ring->degree; i++) {
        /* x = k 2^50 + l, k <= 24: x - k q = l + k (2^44 - 1) < 2q. */
        const uint64_t k = poly[i] >> 50;
        poly[i] = dcsfl_modq_once(poly[i] - k * DCSFL_Q);
    }
}

/*
 * Gentleman-Sande: (a, b) -> (a + b, (a - b) w), on values below `bound`, a multiple of q. A layer doubles a bound at
 * most: from 2q on the way in, after l layers all values are below 2^(l+1) q, after 12 below 2^63, as are differences
 * plus their layer's bound.
 */
static inline void inverse_butterfly(uint64_t *a, uint64_t *b, struct multiplier w, uint64_t bound) {
    const uint64_t difference = *a - *b + bound;
    *a += *b;
    *b = dcsfl_modq_mul_lazy(difference, w.root, w.quotient);
}

/* Two layers. */
static void inverse_pass(const struct dcsfl_ring *ring, uint64_t *poly, size_t blocks, uint64_t bound) {
    const size_t quarter = ring->degree / (4 * blocks);

    for (size_t root = blocks; root < 2 * blocks; root++, poly += 4 * quarter) {
        const struct multiplier w_outer = root_of_block(&ring->inverse, root);
        const struct multiplier w_inner0 = root_of_block(&ring->inverse, 2 * root);
        const struct multiplier w_inner1 = root_of_block(&ring->inverse, 2 * root + 1);
        for (size_t j = 0; j < quarter; j++) {
            uint64_t x0 = poly[j], x1 = poly[quarter + j], x2 = poly[2 * quarter + j], x3 = poly[3 * quarter + j];
            inverse_butterfly(&x0, &x1, w_inner0, bound);
            inverse_butterfly(&x2, &x3, w_inner1, bound);
            inverse_butterfly(&x0, &x2, w_outer, 2 * bound);
            inverse_butterfly(&x1, &x3, w_outer, 2 * bound);
            poly[j] = x0;
            poly[quarter + j] = x1;
            poly[2 * quarter + j] = x2;
            poly[3 * quarter + j] = x3;
        }
    }
}

static void inverse_last_layer(const struct dcsfl_ring *ring, uint64_t *poly, uint64_t bound) {
    const size_t half = ring->degree / 2;
    const struct multiplier w = root_of_block(&ring->inverse, 1);

    for (size_t j = 0; j < half; j++)
        inverse_butterfly(poly + j, poly + half + j, w, bound);
}

/* All layers, without the division by N. */
static void inverse_layers(const struct dcsfl_ring *ring, uint64_t *poly) {
    uint64_t bound = 2 * DCSFL_Q;
    size_t blocks = ring->degree / 4; /* of the pass; 0 where one layer is left */

    for (; blocks > 0; blocks /= 4, bound *= 4)
        inverse_pass(ring, poly, blocks, bound);
    if ((ring->degree & 0xaaa) != 0)
        inverse_last_layer(ring, poly, bound);
}

/* Any words times w, to [0, q). */
static void scale(uint64_t *poly, size_t degree, uint64_t w, uint64_t quotient) {
    for (size_t i = 0; i < degree; i++)
        poly[i] = dcsfl_modq_mul(poly[i], w, quotient);
}

static void inverse(const struct dcsfl_ring *ring, uint64_t *poly) {
    dcsfl_ring_verify_poly(poly);
    inverse_layers(ring, poly);
    scale(poly, ring->degree, ring->scale, ring->scale_quotient64);
}

/* A factor holds f / N mod q, so that products need no division by N, then the quotients. */
static void prepare(const struct dcsfl_ring *ring, struct dcsfl_ring_factor *factor, const uint64_t *transformed) {
    for (size_t i = 0; i < ring->degree; i++) {
        const uint64_t w = dcsfl_modq_mul(transformed[i], ring->scale, ring->scale_quotient64);
        factor->data[i] = w;
        factor->data[DCSFL_RING_MAX_DEGREE + i] = dcsfl_modq_quotient(w);
    }
}

static void multiply(const struct dcsfl_ring *ring, uint64_t *out, const uint64_t *transformed,
                     const struct dcsfl_ring_factor *factor) {
    const uint64_t *quotients = factor->data + DCSFL_RING_MAX_DEGREE;

    dcsfl_ring_verify_multiply(ring, out, transformed, factor);
    for (size_t i = 0; i < ring->degree; i++)
        out[i] = dcsfl_modq_mul_lazy(transformed[i], factor->data[i], quotients[i]);
    inverse_layers(ring, out);
    scale(out, ring->degree, 1, UINT64_MAX / DCSFL_Q);
}

static int are_below(const uint64_t *values, size_t count, uint64_t limit) {
    return dcsfl_ring_are_below(values, count, limit);
}

const struct dcsfl_ring_kernels dcsfl_ring_portable = {
    .forward = forward,
    .inverse = inverse,
    .prepare = prepare,
    .multiply = multiply,
    .cover = dcsfl_ring_cover_portable,
    .uncover = dcsfl_ring_uncover_portable,
    .reduce = dcsfl_ring_reduce_portable,
    .are_below = are_below,
};
