/*
 * Transforms in plain C11: butterflies after Harvey (modq.h), so lazy that no layer corrects anything: q has 50 bits,
 * and 12 layers stay below 2^63.
 */
#include "modq.h"
#include "scale.h"
#include "tables.h"

/*
 * Cooley-Tukey. A layer adds [0, 2q) to a value and to its partner, so after l layers all are below (1 + 2 l) q, and
 * after 12 below 25 q < 2^55.
 */
static void forward(const struct dcsfl_ring *ring, uint64_t *poly) {
    const size_t degree = ring->degree;

    dcsfl_ring_verify_poly(poly);
    for (size_t blocks = 1, stride = degree / 2; blocks < degree; blocks *= 2, stride /= 2)
        for (size_t block = 0; block < blocks; block++) {
            const uint64_t root = ring->forward.root[blocks + block];
            const uint64_t quotient = ring->forward.quotient64[blocks + block];
            uint64_t *restrict low = poly + 2 * block * stride, *restrict high = low + stride;
            for (size_t j = 0; j < stride; j++) {
                const uint64_t kept = low[j], turned = dcsfl_modq_mul_lazy(high[j], root, quotient);
                low[j] = kept + turned;
                high[j] = kept - turned + 2 * DCSFL_Q;
            }
        }
    for (size_t i = 0; i < degree; i++) {
        /* x = k 2^50 + l, k <= 24: x - k q = l + k (2^44 - 1) < 2q. */
        const uint64_t k = poly[i] >> 50;
        poly[i] = dcsfl_modq_once(poly[i] - k * DCSFL_Q);
    }
}

/*
 * Gentleman-Sande on values in [0, 2q), without the division by N. A layer doubles a bound at most: after l layers all
 * are below 2^(l+1) q, after 12 below 2^63, as is a difference plus its layer's bound.
 */
static void inverse_layers(const struct dcsfl_ring *ring, uint64_t *poly) {
    uint64_t bound = 2 * DCSFL_Q;

    for (size_t blocks = ring->degree / 2, stride = 1; blocks > 0; blocks /= 2, stride *= 2, bound *= 2)
        for (size_t block = 0; block < blocks; block++) {
            const uint64_t root = ring->inverse.root[blocks + block];
            const uint64_t quotient = ring->inverse.quotient64[blocks + block];
            uint64_t *restrict low = poly + 2 * block * stride, *restrict high = low + stride;
            for (size_t j = 0; j < stride; j++) {
                const uint64_t sum = low[j] + high[j], difference = low[j] - high[j] + bound;
                low[j] = sum;
                high[j] = dcsfl_modq_mul_lazy(difference, root, quotient);
            }
        }
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

const struct dcsfl_ring_kernels dcsfl_ring_portable = {
    .forward = forward,
    .inverse = inverse,
    .prepare = prepare,
    .multiply = multiply,
    .cover = dcsfl_ring_cover_portable,
    .uncover = dcsfl_ring_uncover_portable,
    .reduce = dcsfl_ring_reduce_portable,
};
