/* Powers in Z_{n^2}, the same for every target. */
#include "exponent.h"

#include <string.h>

#include "../verify.h"
#include "limbs.h"

#define POWER_WINDOW_BITS 5
#define POWER_ENTRIES 32

/* Where the making of rows keeps its numbers; one row a lane. `half`: words of L limbs, all lanes. */
struct builder {
    const struct dcsfl_bigint_kernels *kernels;
    const struct dcsfl_modulus *modulus;
    const struct dcsfl_base *base;
    size_t half;
    uint64_t *running;         /* base^(2^i) * R for the lanes still to come, all alike */
    uint64_t *running_inverse; /* R / base^(2^i) mod n */
    /* Of these rows' bases b = b0 (1 + v n): */
    uint64_t *step;         /* the fixed factor (b0, b', 0) */
    uint64_t *step_share;   /* v */
    uint64_t *step_inverse; /* R / b0 mod n */
    /* Of b^entry = y (1 + share n): */
    uint64_t *state;   /* y: (x0, w, 0) */
    uint64_t *share;   /* below n */
    uint64_t *inverse; /* R / x0 mod n */
    uint64_t *wide;
    uint64_t *factors; /* DCSFL_PUT_ENTRIES entries, a state each */
    uint64_t *scratch;
};

static void add_residue(const struct builder *b, uint64_t *sum, const uint64_t *addend) {
    dcsfl_limbs_add(b->kernels, sum, addend, b->modulus->limbs);
    dcsfl_limbs_subtract_once(b->kernels, b->modulus, sum);
}

static void multiply_residues(const struct builder *b, uint64_t *out, const uint64_t *left, const uint64_t *right) {
    b->kernels->multiply_residues(b->modulus, b->scratch, out, left, right);
}

/*
 * factor <- (y0, y') for y0 < n, y' = floor(y0 floor(R^2 / n) / R). The inner floor takes less than 1 off R^2 / n, so less
 * than y0 / R < 1 off y0 R / n, and the outer one less than 1: floor(y0 R / n) or 1 less.
 */
static void make_factor(const struct builder *b, uint64_t *factor, const uint64_t *y0) {
    const size_t limbs = b->modulus->limbs;

    b->kernels->multiply_add(b->scratch, b->wide, y0, limbs, b->base->shift, limbs + 2, NULL, 0);
    memcpy(factor, y0, b->half * sizeof *factor);
    memcpy(factor + b->half, b->wide + b->half, b->half * sizeof *factor);
}

/* The bases of `count` rows, of which `running` is the first's, to their lanes; other lanes are 0. */
static void open_rows(const struct builder *b, size_t count, unsigned window_bits) {
    const size_t limbs = b->modulus->limbs, lanes = b->kernels->lanes, half = b->half;
    uint64_t *bases = b->state, *one = b->wide;

    memset(bases, 0, 2 * half * sizeof *bases);
    memset(b->step_inverse, 0, half * sizeof *bases);
    for (size_t lane = 0; lane < count; lane++) {
        for (size_t j = 0; j < 2 * limbs; j++)
            bases[j * lanes + lane] = b->running[j * lanes];
        for (size_t j = 0; j < limbs; j++)
            b->step_inverse[j * lanes + lane] = b->running_inverse[j * lanes];
        for (unsigned i = 0; i < window_bits; i++) {
            b->kernels->square(b->modulus, b->scratch, b->running, b->running);
            multiply_residues(b, b->running_inverse, b->running_inverse, b->running_inverse);
        }
    }
    memset(one, 0, 2 * half * sizeof *one);
    for (size_t lane = 0; lane < lanes; lane++)
        one[lane] = 1;
    b->kernels->multiply(b->modulus, b->scratch, bases, bases, one);
    dcsfl_nadic_canonicalise(b->kernels, b->modulus, bases);
    make_factor(b, b->step, bases);
    memset(b->step + 2 * half, 0, half * sizeof *b->step);
    multiply_residues(b, b->step_share, bases + half, b->step_inverse);
    dcsfl_limbs_subtract_once(b->kernels, b->modulus, b->step_share);
}

/* b^entry <- b^(entry + 1). */
static void next_entry(const struct builder *b) {
    b->kernels->advance(b->modulus, b->scratch, b->state, b->step);
    dcsfl_nadic_reduce_low(b->kernels, b->modulus, b->state);
    add_residue(b, b->share, b->step_share);
    multiply_residues(b, b->inverse, b->inverse, b->step_inverse);
}

/* rows[i] for the first `count` lanes. */
static void fill_rows(const struct builder *b, uint8_t *rows, size_t count, unsigned window_bits) {
    const size_t limbs = b->modulus->limbs, half = b->half;
    const size_t row_bytes = dcsfl_fixed_base_row_bytes(b->kernels, limbs, window_bits);

    memset(b->state, 0, 3 * half * sizeof *b->state);
    for (size_t lane = 0; lane < b->kernels->lanes; lane++)
        b->state[lane] = 1;
    memset(b->share, 0, half * sizeof *b->share);
    dcsfl_limbs_spread(b->kernels, b->inverse, b->base->one, limbs);
    for (size_t entry = 0; entry < (size_t)1 << window_bits; entry++) {
        uint64_t *factor = b->factors + entry % DCSFL_PUT_ENTRIES * 3 * half, *share = factor + 2 * half;
        if (entry != 0)
            next_entry(b);
        /* x0 + w n = x0 (1 + (w / x0) n) mod n^2; w / x0 below 1.25 n, with the share below 2.25 n. */
        make_factor(b, factor, b->state);
        multiply_residues(b, share, b->state + half, b->inverse);
        add_residue(b, share, b->share);
        dcsfl_limbs_subtract_once(b->kernels, b->modulus, share);
        if ((entry + 1) % DCSFL_PUT_ENTRIES == 0)
            for (size_t lane = 0; lane < count; lane++)
                b->kernels->put(rows + lane * row_bytes, 3 * limbs, window_bits, entry + 1 - DCSFL_PUT_ENTRIES,
                                b->factors, lane);
    }
}

void dcsfl_fixed_base_build(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *workspace, uint8_t *rows, size_t digits, unsigned window_bits,
                            const struct dcsfl_base *base) {
    const size_t lanes = kernels->lanes, limbs = modulus->limbs, half = limbs * lanes;
    const size_t row_bytes = dcsfl_fixed_base_row_bytes(kernels, limbs, window_bits);
    const struct builder b = {
        .kernels = kernels,
        .modulus = modulus,
        .base = base,
        .half = half,
        .running = workspace,
        .running_inverse = workspace + 2 * half,
        .step = workspace + 3 * half,
        .step_share = workspace + 6 * half,
        .step_inverse = workspace + 7 * half,
        .state = workspace + 8 * half,
        .share = workspace + 11 * half,
        .inverse = workspace + 12 * half,
        .wide = workspace + 13 * half, /* [2 * L + 2], at most 3 * L */
        .factors = workspace + 16 * half,
        .scratch = workspace + 2 * DCSFL_BUILD_ELEMENTS * half,
    };

    DCSFL_VERIFY(window_bits >= DCSFL_MIN_WINDOW_BITS && window_bits <= DCSFL_MAX_WINDOW_BITS);
    dcsfl_limbs_spread(kernels, b.running, base->base, 2 * limbs);
    dcsfl_limbs_spread(kernels, b.running_inverse, base->inverse, limbs);
    for (size_t first = 0; first < digits; first += lanes) {
        const size_t count = digits - first < lanes ? digits - first : lanes;
        open_rows(&b, count, window_bits);
        fill_rows(&b, rows + first * row_bytes, count, window_bits);
    }
}

/* Bits [bit, bit + width) of the little-endian bytes, zeros past the last; width <= 8. */
static uint8_t digit_at(const uint8_t *bytes, size_t byte_count, size_t bit, unsigned width) {
    uint32_t pair = bit / 8 < byte_count ? bytes[bit / 8] : 0;

    if (bit / 8 + 1 < byte_count)
        pair |= (uint32_t)bytes[bit / 8 + 1] << 8;
    return (uint8_t)(pair >> bit % 8 & ((1U << width) - 1));
}

void dcsfl_fixed_base_power(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *workspace, uint64_t *states, const struct dcsfl_fixed_base *table,
                            const uint8_t *exponents, size_t exponent_bytes, size_t count) {
    const size_t lanes = kernels->lanes, limbs = 3 * modulus->limbs, words = limbs * lanes;
    const size_t row_bytes = dcsfl_row_bytes(kernels, limbs, table->window_bits);
    uint64_t *chosen = workspace;
    uint64_t *scratch = workspace + DCSFL_FIXED_POWER_ELEMENTS * dcsfl_element_words(kernels, modulus->limbs);
    uint8_t digits[DCSFL_BIGINT_MAX_PICKS];

    /* Row by row over all states, so that a row is fetched from memory once. */
    for (size_t i = 0; i < table->digits; i++)
        for (size_t first = 0; first < count; first += kernels->picks) {
            for (size_t l = 0; l < kernels->picks; l++)
                digits[l] = first + l < count ? digit_at(exponents + (first + l) * exponent_bytes, exponent_bytes,
                                                         i * table->window_bits, table->window_bits)
                                              : 0;
            kernels->pick(chosen, table->rows + i * row_bytes, limbs, table->window_bits, digits);
            for (size_t l = 0; l < kernels->picks && first + l < count; l += lanes) {
                uint64_t *state = states + (first + l) / lanes * words;
                if (i == 0) {
                    memcpy(state, chosen + l / lanes * words, words * sizeof *state);
                    memset(state + words / 3, 0, words / 3 * sizeof *state);
                } else
                    kernels->advance(modulus, scratch, state, chosen + l / lanes * words);
            }
        }
    dcsfl_wipe(digits, sizeof digits);
}

/* Bits [bit, bit + POWER_WINDOW_BITS) of a number of one lane. */
static uint32_t limb_digit_at(const struct dcsfl_bigint_kernels *kernels, const uint64_t *number, size_t limbs,
                              size_t bit) {
    const size_t j = bit / kernels->limb_bits;
    const unsigned shift = (unsigned)(bit % kernels->limb_bits);
    uint64_t digit = number[j] >> shift;

    if (j + 1 < limbs)
        digit |= number[j + 1] << (kernels->limb_bits - shift);
    return (uint32_t)digit & (POWER_ENTRIES - 1);
}

void dcsfl_power(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus, uint64_t *workspace,
                 uint64_t *element, const uint64_t *exponent, size_t exponent_bits, const uint64_t *one) {
    const size_t words = dcsfl_element_words(kernels, modulus->limbs);
    uint64_t *table = workspace, *chosen = table + POWER_ENTRIES * words, *scratch = chosen + words;
    size_t bit = (exponent_bits - 1) / POWER_WINDOW_BITS * POWER_WINDOW_BITS;

    dcsfl_limbs_spread(kernels, table, one, 2 * modulus->limbs);
    memcpy(table + words, element, words * sizeof *element);
    for (size_t entry = 2; entry < POWER_ENTRIES; entry++)
        kernels->multiply(modulus, scratch, table + entry * words, table + (entry - 1) * words, element);
    kernels->scan(element, table, words, POWER_ENTRIES, limb_digit_at(kernels, exponent, modulus->limbs, bit));
    while (bit != 0) {
        bit -= POWER_WINDOW_BITS;
        for (unsigned i = 0; i < POWER_WINDOW_BITS; i++)
            kernels->square(modulus, scratch, element, element);
        kernels->scan(chosen, table, words, POWER_ENTRIES, limb_digit_at(kernels, exponent, modulus->limbs, bit));
        kernels->multiply(modulus, scratch, element, element, chosen);
    }
}
