/* Powers in Z_{n^2}, the same for every target. */
#include "exponent.h"

#include <string.h>

#include "../verify.h"
#include "limbs.h"

#define POWER_WINDOW_BITS 5
#define POWER_ENTRIES 32

/* Where the making of a row's entries, one row a lane, keeps its elements. */
struct builder {
    const struct dcsfl_bigint_kernels *kernels;
    const struct dcsfl_modulus *modulus;
    const struct dcsfl_base *base;
    size_t words;
    uint64_t *running;         /* base^(2^i) * R for the lanes still to come, all alike */
    uint64_t *running_inverse; /* R / base^(2^i) mod n */
    uint64_t *bases, *inverses; /* the same of this group's rows */
    uint64_t *power;           /* base^entry, canonical */
    uint64_t *power_inverse;   /* R / base^entry mod n */
    uint64_t *factors;         /* DCSFL_PUT_ENTRIES entries, a state each */
    uint64_t *scratch;
};

static void residue(const struct builder *b, uint64_t *out, const uint64_t *left, const uint64_t *right) {
    b->kernels->multiply(b->modulus, b->scratch, out, left, right);
    dcsfl_limbs_subtract_once(b->kernels, b->modulus, out);
    memset(out + b->words / 2, 0, b->words / 2 * sizeof *out);
}

/* factor[2 elements] <- (y0, y', v) of power = y0 + y1 n and something: y' = (y0 R - (y0 R mod n)) / n, v = y1 / y0 mod n. */
static void make_factor(const struct builder *b, uint64_t *factor) {
    const size_t limbs = b->modulus->limbs, half = b->words / 2;
    uint64_t *y0 = factor, *shifted = y0 + half, *share = shifted + half;

    /* y0 R mod n, in the place of v; then times -1/n mod R, whose low half is y'. */
    dcsfl_limbs_spread(b->kernels, y0, b->base->shift, 2 * limbs);
    memcpy(share, b->power, half * sizeof *share);
    memset(share + half, 0, half * sizeof *share);
    residue(b, share, share, y0);
    b->kernels->multiply_add(b->scratch, y0, share, limbs, b->modulus->inverse, limbs, NULL, 0);
    memcpy(shifted, y0, half * sizeof *shifted);
    memcpy(y0, b->power, half * sizeof *y0);
    memcpy(share, b->power + half, half * sizeof *share);
    memset(share + half, 0, half * sizeof *share);
    residue(b, share, share, b->power_inverse);
}

/* rows[i] for the `count` <= lanes digits whose bases are the lanes of b->bases. */
static void fill_rows(const struct builder *b, uint8_t *rows, size_t count, unsigned window_bits) {
    const size_t limbs = b->modulus->limbs, factor_words = 3 * b->words / 2;
    const size_t row_bytes = dcsfl_fixed_base_row_bytes(b->kernels, limbs, window_bits);

    memset(b->power, 0, b->words * sizeof *b->power);
    for (size_t lane = 0; lane < b->kernels->lanes; lane++)
        b->power[lane] = 1;
    dcsfl_limbs_spread(b->kernels, b->power_inverse, b->base->one, limbs);
    memset(b->power_inverse + b->words / 2, 0, b->words / 2 * sizeof *b->power_inverse);
    for (size_t entry = 0; entry < (size_t)1 << window_bits; entry++) {
        if (entry != 0) {
            b->kernels->multiply(b->modulus, b->scratch, b->power, b->power, b->bases);
            dcsfl_nadic_canonicalise(b->kernels, b->modulus, b->power);
            residue(b, b->power_inverse, b->power_inverse, b->inverses);
        }
        make_factor(b, b->factors + entry % DCSFL_PUT_ENTRIES * factor_words);
        if ((entry + 1) % DCSFL_PUT_ENTRIES == 0)
            for (size_t lane = 0; lane < count; lane++)
                b->kernels->put(rows + lane * row_bytes, 3 * limbs, window_bits, entry + 1 - DCSFL_PUT_ENTRIES,
                                b->factors, lane);
    }
}

void dcsfl_fixed_base_build(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *workspace, uint8_t *rows, size_t digits, unsigned window_bits,
                            const struct dcsfl_base *base) {
    const size_t lanes = kernels->lanes, limbs = 2 * modulus->limbs, words = limbs * lanes;
    const struct builder b = {
        .kernels = kernels,
        .modulus = modulus,
        .base = base,
        .words = words,
        .running = workspace,
        .running_inverse = workspace + words,
        .bases = workspace + 2 * words,
        .inverses = workspace + 3 * words,
        .power = workspace + 4 * words,
        .power_inverse = workspace + 5 * words,
        .factors = workspace + 6 * words,
        .scratch = workspace + DCSFL_BUILD_ELEMENTS * words,
    };

    DCSFL_VERIFY(window_bits >= DCSFL_MIN_WINDOW_BITS && window_bits <= DCSFL_MAX_WINDOW_BITS);
    dcsfl_limbs_spread(kernels, b.running, base->base, limbs);
    dcsfl_limbs_spread(kernels, b.running_inverse, base->inverse, limbs);
    for (size_t first = 0; first < digits; first += lanes) {
        const size_t count = digits - first < lanes ? digits - first : lanes;
        dcsfl_limbs_spread(kernels, b.bases, base->one, limbs);
        dcsfl_limbs_spread(kernels, b.inverses, base->one, limbs);
        for (size_t lane = 0; lane < count; lane++) {
            for (size_t j = 0; j < limbs; j++) {
                b.bases[j * lanes + lane] = b.running[j * lanes];
                b.inverses[j * lanes + lane] = b.running_inverse[j * lanes];
            }
            for (unsigned i = 0; i < window_bits; i++) {
                kernels->square(modulus, b.scratch, b.running, b.running);
                residue(&b, b.running_inverse, b.running_inverse, b.running_inverse);
            }
        }
        fill_rows(&b, rows + first * dcsfl_fixed_base_row_bytes(kernels, modulus->limbs, window_bits), count,
                  window_bits);
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
