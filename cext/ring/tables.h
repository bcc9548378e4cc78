/* What struct dcsfl_ring holds, for the kernels of this room. */
#ifndef DCSFL_RING_TABLES_H
#define DCSFL_RING_TABLES_H

#include "../verify.h"
#include "ring.h"

/*
 * The powers of psi that butterflies multiply by, in the order of use: entry k is psi^r(k), or psi^-r(k) for the
 * inverse, r(k) the reversal of k's log2(N) bits. The layer of 2^l blocks takes entries [2^l, 2^(l+1)), one a block
 * (P. Longa, M. Naehrig, "Speeding up the number theoretic transform", CANS 2016, algorithms 1 and 2).
 * Each array has N entries and is aligned to 64 bytes.
 */
struct dcsfl_ring_roots {
    uint64_t *root;       /* in [0, q) */
    uint64_t *quotient64; /* floor(root 2^64 / q) */
    uint64_t *quotient52; /* floor(root 2^52 / q) = quotient64 >> 12 */
    double *balanced;     /* root, or root - q where that is nearer to 0: within [-q/2, q/2] */
    double *ratio;        /* balanced / q, to the nearest double */
};

struct dcsfl_ring {
    size_t degree;
    struct dcsfl_ring_roots forward;
    struct dcsfl_ring_roots inverse;
    /* N^-1, in the forms of a root */
    uint64_t scale;
    uint64_t scale_quotient64;
    uint64_t scale_quotient52;
    double scale_balanced;
    double scale_ratio;
};

static inline void dcsfl_ring_verify_poly(const uint64_t *poly) {
    DCSFL_VERIFY(poly != NULL && (uintptr_t)poly % _Alignof(uint64_t) == 0);
    (void)poly;
}

/* The contract of dcsfl_ring_multiply_fn, as far as it can be checked without the values. */
static inline void dcsfl_ring_verify_multiply(const struct dcsfl_ring *ring, const uint64_t *out,
                                              const uint64_t *transformed, const struct dcsfl_ring_factor *factor) {
    dcsfl_ring_verify_poly(out);
    dcsfl_ring_verify_poly(transformed);
    DCSFL_VERIFY((uintptr_t)factor % _Alignof(struct dcsfl_ring_factor) == 0);
    DCSFL_VERIFY(out + ring->degree <= transformed || transformed + ring->degree <= out);
    (void)ring, (void)out, (void)transformed, (void)factor;
}

#endif
