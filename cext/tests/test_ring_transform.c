/*
 * Transforms and products of every target that runs here against evaluation at the roots and the schoolbook product,
 * in bit-serial arithmetic: every degree, random values and those that stretch lazy ranges, exact-size heap buffers.
 * Large degrees are compared at some coefficients, and everywhere with the portable target and as round trips.
 */
#include "../ring/modq.h"
#include "ring_check.h"

enum pattern { ZEROS, ONES, TOPS, TOPS_AND_ZEROS, BLOCKS_OF_TOPS, HALVES, RANDOM, EDGES, PATTERNS };

static void fill(uint64_t *poly, size_t degree, enum pattern pattern, uint64_t seed) {
    const uint64_t edges[] = {0, 1, 2, DCSFL_Q / 2, DCSFL_Q / 2 + 1, DCSFL_Q - 2, DCSFL_Q - 1, DCSFL_Q - 1};

    for (size_t i = 0; i < degree; i++) {
        const uint64_t random = next_random(&seed);
        switch (pattern) {
        case ZEROS: poly[i] = 0; break;
        case ONES: poly[i] = 1; break;
        case TOPS: poly[i] = DCSFL_Q - 1; break;
        case TOPS_AND_ZEROS: poly[i] = i % 2 == 0 ? DCSFL_Q - 1 : 0; break;
        case BLOCKS_OF_TOPS: poly[i] = i < degree / 2 ? 0 : DCSFL_Q - 1; break;
        case HALVES: poly[i] = DCSFL_Q / 2 + random % 2; break;
        case EDGES: poly[i] = edges[random >> 61]; break;
        default: poly[i] = random % DCSFL_Q; break;
        }
    }
}

static uint64_t smallest_generator(void) {
    for (uint64_t g = 2;; g++)
        if (oracle_power(g, (DCSFL_Q - 1) / 2) != 1 && oracle_power(g, (DCSFL_Q - 1) / 3) != 1 &&
            oracle_power(g, (DCSFL_Q - 1) / 7) != 1)
            return g;
}

/* transformed[i] as ring.h defines it, by Horner's rule. */
static uint64_t oracle_transformed(const uint64_t *poly, unsigned log2_degree, uint64_t psi, size_t i) {
    const size_t degree = (size_t)1 << log2_degree;
    size_t reversed = 0;
    uint64_t at, value = 0;

    for (unsigned bit = 0; bit < log2_degree; bit++)
        reversed |= (i >> bit & 1) << (log2_degree - 1 - bit);
    at = oracle_power(psi, 2 * reversed + 1);
    for (size_t j = degree; j-- > 0;)
        value = add_mod(oracle_multiply(value, at), poly[j], DCSFL_Q);
    return value;
}

/* Coefficient k of a b mod X^N + 1. */
static uint64_t oracle_coefficient(const uint64_t *a, const uint64_t *b, size_t degree, size_t k) {
    uint64_t value = 0;

    for (size_t i = 0; i < degree; i++) {
        const uint64_t product = oracle_multiply(a[i], b[(k + degree - i) % degree]);
        value = add_mod(value, i <= k || product == 0 ? product : DCSFL_Q - product, DCSFL_Q);
    }
    return value;
}

static int is_in_range(const uint64_t *poly, size_t degree) {
    for (size_t i = 0; i < degree; i++)
        if (poly[i] >= DCSFL_Q)
            return 0;
    return 1;
}

/* Every coefficient of a small degree, the first, the last and a few others of a large one. */
static size_t next_index(size_t i, size_t degree) {
    return degree <= 64 || i + 1 >= degree - 1 ? i + 1 : (2 * i + 3 < degree - 1 ? 2 * i + 3 : degree - 1);
}

/* Everything one degree needs, allocated to the byte. */
struct scene {
    unsigned log2_degree;
    size_t degree;
    uint64_t psi;
    struct dcsfl_ring *ring;
    struct dcsfl_ring_factor *factor;
    uint64_t *a, *b, *transformed_a, *transformed_b, *out, *expected;
};

static void check_transform(const struct dcsfl_target *target, const struct scene *s, size_t pattern) {
    const size_t bytes = s->degree * sizeof *s->a;

    memcpy(s->transformed_a, s->a, bytes);
    target->ring->forward(s->ring, s->transformed_a);
    expect(is_in_range(s->transformed_a, s->degree), "forward is canonical", target->name, s->degree, pattern, 0);
    for (size_t i = 0; i < s->degree; i = next_index(i, s->degree))
        expect(s->transformed_a[i] == oracle_transformed(s->a, s->log2_degree, s->psi, i),
               "forward evaluates at the root", target->name, s->degree, pattern, i);
    memcpy(s->expected, s->a, bytes);
    dcsfl_ring_portable.forward(s->ring, s->expected);
    expect(memcmp(s->expected, s->transformed_a, bytes) == 0, "forward is the portable one", target->name, s->degree,
           pattern, 0);
    memcpy(s->out, s->transformed_a, bytes);
    target->ring->inverse(s->ring, s->out);
    expect(memcmp(s->out, s->a, bytes) == 0, "inverse undoes forward", target->name, s->degree, pattern, 0);
    memcpy(s->out, s->a, bytes);
    target->ring->inverse(s->ring, s->out);
    expect(is_in_range(s->out, s->degree), "inverse is canonical", target->name, s->degree, pattern, 0);
    target->ring->forward(s->ring, s->out);
    expect(memcmp(s->out, s->a, bytes) == 0, "forward undoes inverse", target->name, s->degree, pattern, 0);
}

/* a and b as polynomials. */
static void check_product(const struct dcsfl_target *target, const struct scene *s, size_t pattern) {
    const size_t bytes = s->degree * sizeof *s->a;

    memcpy(s->transformed_a, s->a, bytes);
    memcpy(s->transformed_b, s->b, bytes);
    target->ring->forward(s->ring, s->transformed_a);
    target->ring->forward(s->ring, s->transformed_b);
    target->ring->prepare(s->ring, s->factor, s->transformed_b);
    target->ring->multiply(s->ring, s->out, s->transformed_a, s->factor);
    for (size_t k = 0; k < s->degree; k = next_index(k, s->degree))
        expect(s->out[k] == oracle_coefficient(s->a, s->b, s->degree, k), "multiply is the negacyclic product",
               target->name, s->degree, pattern, k);
}

/* a and b as transformed polynomials, so that what stretches the ranges meets the inverse itself. */
static void check_transformed_product(const struct dcsfl_target *target, const struct scene *s, size_t pattern) {
    const size_t bytes = s->degree * sizeof *s->a;

    target->ring->prepare(s->ring, s->factor, s->b);
    target->ring->multiply(s->ring, s->out, s->a, s->factor);
    expect(is_in_range(s->out, s->degree), "multiply is canonical", target->name, s->degree, pattern, 0);
    for (size_t i = 0; i < s->degree; i++)
        s->expected[i] = oracle_multiply(s->a[i], s->b[i]);
    dcsfl_ring_portable.forward(s->ring, s->out);
    expect(memcmp(s->out, s->expected, bytes) == 0, "multiply's transform is the product of values", target->name,
           s->degree, pattern, 0);
}

/*
 * Runs of 2^k values, for every k, so that in some layer all sums or all differences meet: of q - 1 and 0 for what
 * takes residues as they are, of about q/2 and -q/2 for what takes them nearest to 0, times N for what first divides
 * by that.
 */
static void check_runs(const struct dcsfl_target *target, const struct scene *s) {
    for (unsigned k = 0; k < s->log2_degree; k++) {
        for (size_t i = 0; i < s->degree; i++)
            s->a[i] = (i >> k & 1) != 0 ? DCSFL_Q - 1 : 0;
        check_transform(target, s, PATTERNS + k);
        for (size_t i = 0; i < s->degree; i++) {
            s->a[i] = DCSFL_Q / 2 + (i >> k & 1);
            s->b[i] = s->degree;
        }
        check_transformed_product(target, s, PATTERNS + k);
        for (size_t i = 0; i < s->degree; i++)
            s->a[i] = oracle_multiply(s->a[i], s->degree);
        check_transform(target, s, PATTERNS + k);
    }
}

static void check_degree(const struct dcsfl_target *target, unsigned log2_degree, uint64_t generator) {
    const size_t degree = (size_t)1 << log2_degree;
    const struct scene s = {
        .log2_degree = log2_degree,
        .degree = degree,
        .psi = oracle_power(generator, (DCSFL_Q - 1) >> (log2_degree + 1)),
        .ring = dcsfl_ring_new(log2_degree),
        .factor = aligned_alloc(_Alignof(struct dcsfl_ring_factor), sizeof(struct dcsfl_ring_factor)),
        .a = allocate_words(degree),
        .b = allocate_words(degree),
        .transformed_a = allocate_words(degree),
        .transformed_b = allocate_words(degree),
        .out = allocate_words(degree),
        .expected = allocate_words(degree),
    };

    if (s.ring == NULL || s.factor == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(2);
    }
    expect(dcsfl_ring_degree(s.ring) == degree, "a ring knows its degree", target->name, degree, 0, 0);
    for (unsigned p = 0; p < PATTERNS; p++) {
        fill(s.a, degree, (enum pattern)p, 1 + log2_degree);
        check_transform(target, &s, p);
        for (unsigned r = 0; r < PATTERNS; r++) {
            fill(s.b, degree, (enum pattern)r, 100 + p);
            check_transformed_product(target, &s, 100 * p + r);
            if (r >= RANDOM || r == p)
                check_product(target, &s, 100 * p + r);
        }
    }
    check_runs(target, &s);
    free(s.expected);
    free(s.out);
    free(s.transformed_b);
    free(s.transformed_a);
    free(s.b);
    free(s.a);
    free(s.factor);
    dcsfl_ring_free(s.ring);
}

static void check_target(const struct dcsfl_target *target) {
    const uint64_t generator = smallest_generator();

    for (unsigned log2_degree = DCSFL_RING_MIN_LOG2_DEGREE; log2_degree <= DCSFL_RING_MAX_LOG2_DEGREE; log2_degree++)
        check_degree(target, log2_degree, generator);
}

/* For compilers without a 128-bit type; elsewhere nothing else runs it. */
static void check_mulhi_by_halves(void) {
    uint64_t seed = 5;

    for (size_t i = 0; i < 1000; i++) {
        const uint64_t a = i % 3 == 0 ? 0 - (next_random(&seed) >> 60) : next_random(&seed);
        const uint64_t b = i % 5 == 0 ? 0 - (next_random(&seed) >> 60) : next_random(&seed);
        expect(dcsfl_mulhi64_by_halves(a, b) == dcsfl_mulhi64(a, b), "mulhi by halves", "portable", i, 0, 0);
    }
}

/* An argument names the one target to check: an emulator may get others wrong, or take long over them. */
int main(int argc, char **argv) {
    expect(dcsfl_ring_new(DCSFL_RING_MIN_LOG2_DEGREE - 1) == NULL, "no smaller degree", "all", 0, 0, 0);
    expect(dcsfl_ring_new(DCSFL_RING_MAX_LOG2_DEGREE + 1) == NULL, "no larger degree", "all", 0, 0, 0);
    dcsfl_ring_free(NULL);
    check_mulhi_by_halves();
    return check_targets(check_target, argc > 1 ? argv[1] : NULL);
}
