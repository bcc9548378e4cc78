/* The tables of one degree: powers of psi in bit-reversed order, in the forms that the targets multiply by. */
#include "tables.h"

#include <stdlib.h>

#include "modq.h"

#define GENERATOR 11 /* the smallest of Z_q^*: q - 1 = 2^44 3^2 7, and no smaller one passes for 2, 3 and 7 */
#define ALIGNMENT 64

static uint64_t multiply(uint64_t a, uint64_t b) {
    return dcsfl_modq_mul(a, b, dcsfl_modq_quotient(b));
}

static uint64_t power(uint64_t base, uint64_t exponent) {
    uint64_t result = 1;

    for (; exponent != 0; exponent >>= 1) {
        if ((exponent & 1) != 0)
            result = multiply(result, base);
        base = multiply(base, base);
    }
    return result;
}

/* floor(w 2^64 / q): what an estimate q' leaves, w 2^64 - q' q, is its own low word, as it is below 4q. */
static uint64_t exact_quotient(uint64_t w) {
    uint64_t quotient = dcsfl_modq_quotient(w);

    for (uint64_t rest = 0 - quotient * DCSFL_Q; rest >= DCSFL_Q; rest -= DCSFL_Q)
        quotient++;
    return quotient;
}

static size_t reverse_bits(size_t value, unsigned bits) {
    size_t reversed = 0;

    for (unsigned i = 0; i < bits; i++)
        reversed |= (value >> i & 1) << (bits - 1 - i);
    return reversed;
}

static double balance(uint64_t residue) {
    return (double)(residue > DCSFL_Q / 2 ? (int64_t)residue - (int64_t)DCSFL_Q : (int64_t)residue);
}

/* Memory for the arrays of one direction; they are entry 0's to free. */
static int allocate_roots(struct dcsfl_ring_roots *roots, size_t degree) {
    uint64_t *block = aligned_alloc(ALIGNMENT, 3 * degree * sizeof *block);

    roots->root = block;
    roots->balanced = aligned_alloc(ALIGNMENT, 2 * degree * sizeof *roots->balanced);
    if (block == NULL || roots->balanced == NULL)
        return -1;
    roots->quotient64 = block + degree;
    roots->quotient52 = block + 2 * degree;
    roots->ratio = roots->balanced + degree;
    return 0;
}

static void free_roots(struct dcsfl_ring_roots *roots) {
    free(roots->root);
    free(roots->balanced);
}

static void fill_roots(struct dcsfl_ring_roots *roots, unsigned log2_degree, uint64_t base) {
    const size_t degree = (size_t)1 << log2_degree;
    const uint64_t base_quotient = dcsfl_modq_quotient(base);
    uint64_t root = 1;

    for (size_t i = 0; i < degree; i++) {
        const size_t at = reverse_bits(i, log2_degree);
        roots->root[at] = root;
        roots->quotient64[at] = exact_quotient(root);
        roots->quotient52[at] = roots->quotient64[at] >> 12;
        roots->balanced[at] = balance(root);
        roots->ratio[at] = roots->balanced[at] / (double)DCSFL_Q;
        root = dcsfl_modq_mul(root, base, base_quotient);
    }
}

struct dcsfl_ring *dcsfl_ring_new(unsigned log2_degree) {
    struct dcsfl_ring *ring;
    uint64_t psi;

    if (log2_degree < DCSFL_RING_MIN_LOG2_DEGREE || log2_degree > DCSFL_RING_MAX_LOG2_DEGREE)
        return NULL;
    ring = calloc(1, sizeof *ring);
    if (ring == NULL)
        return NULL;
    ring->degree = (size_t)1 << log2_degree;
    if (allocate_roots(&ring->forward, ring->degree) < 0 || allocate_roots(&ring->inverse, ring->degree) < 0) {
        dcsfl_ring_free(ring);
        return NULL;
    }
    psi = power(GENERATOR, (DCSFL_Q - 1) >> (log2_degree + 1));
    fill_roots(&ring->forward, log2_degree, psi);
    fill_roots(&ring->inverse, log2_degree, power(psi, DCSFL_Q - 2));
    ring->scale = power(ring->degree, DCSFL_Q - 2);
    ring->scale_quotient64 = exact_quotient(ring->scale);
    ring->scale_quotient52 = ring->scale_quotient64 >> 12;
    ring->scale_balanced = balance(ring->scale);
    ring->scale_ratio = ring->scale_balanced / (double)DCSFL_Q;
    return ring;
}

void dcsfl_ring_free(struct dcsfl_ring *ring) {
    if (ring == NULL)
        return;
    free_roots(&ring->forward);
    free_roots(&ring->inverse);
    free(ring);
}

size_t dcsfl_ring_degree(const struct dcsfl_ring *ring) {
    return ring->degree;
}
