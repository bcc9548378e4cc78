/* Powers in Z_{n^2}, the same for every target. */
#include "exponent.h"

#include <string.h>

#include "../verify.h"
#include "limbs.h"

#define POWER_WINDOW_BITS 5
#define POWER_ENTRIES 32

size_t dcsfl_fixed_base_words(size_t limbs, size_t exponent_bits, unsigned window_bits) {
    return dcsfl_fixed_base_digits(exponent_bits, window_bits) * dcsfl_row_words(2 * limbs, window_bits);
}

/* rows[i] for the `count` <= lanes digits whose bases are the lanes of `bases`. */
static void fill_rows(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                      uint64_t *scratch, uint64_t *rows, size_t count, unsigned window_bits, uint64_t *power,
                      const uint64_t *bases, const uint64_t *one) {
    const size_t limbs = 2 * modulus->limbs, row_words = dcsfl_row_words(limbs, window_bits);

    dcsfl_limbs_spread(kernels, power, one, limbs);
    for (size_t entry = 0; entry < (size_t)1 << window_bits; entry++) {
        if (entry == 1)
            memcpy(power, bases, dcsfl_element_words(kernels, modulus->limbs) * sizeof *power);
        else if (entry > 1)
            kernels->multiply(modulus, scratch, power, power, bases);
        for (size_t lane = 0; lane < count; lane++)
            kernels->put(rows + lane * row_words, limbs, window_bits, entry, power, lane);
    }
}

void dcsfl_fixed_base_build(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *workspace, uint64_t *rows, size_t digits, unsigned window_bits,
                            const uint64_t *base, const uint64_t *one) {
    const size_t lanes = kernels->lanes, limbs = 2 * modulus->limbs, words = limbs * lanes;
    uint64_t *running = workspace, *bases = running + words, *power = bases + words, *scratch = power + words;

    DCSFL_VERIFY(window_bits >= DCSFL_MIN_WINDOW_BITS && window_bits <= DCSFL_MAX_WINDOW_BITS);
    dcsfl_limbs_spread(kernels, running, base, limbs);
    for (size_t first = 0; first < digits; first += lanes) {
        const size_t count = digits - first < lanes ? digits - first : lanes;
        dcsfl_limbs_spread(kernels, bases, one, limbs);
        for (size_t lane = 0; lane < count; lane++) {
            for (size_t j = 0; j < limbs; j++)
                bases[j * lanes + lane] = running[j * lanes];
            for (unsigned i = 0; i < window_bits; i++)
                kernels->square(modulus, scratch, running, running);
        }
        fill_rows(kernels, modulus, scratch, rows + first * dcsfl_row_words(limbs, window_bits), count, window_bits,
                  power, bases, one);
    }
}

/* Bits [bit, bit + width) of the little-endian bytes, zeros past the last; width <= 8. */
static uint32_t digit_at(const uint8_t *bytes, size_t byte_count, size_t bit, unsigned width) {
    uint32_t pair = bit / 8 < byte_count ? bytes[bit / 8] : 0;

    if (bit / 8 + 1 < byte_count)
        pair |= (uint32_t)bytes[bit / 8 + 1] << 8;
    return pair >> bit % 8 & ((1U << width) - 1);
}

void dcsfl_fixed_base_power(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *workspace, uint64_t *out, const struct dcsfl_fixed_base *table,
                            const uint8_t *exponents, size_t exponent_bytes, size_t count) {
    const size_t lanes = kernels->lanes, limbs = 2 * modulus->limbs, words = limbs * lanes;
    uint64_t *chosen = workspace, *scratch = workspace + words;
    uint32_t digits[DCSFL_BIGINT_MAX_LANES];

    /* Row by row over all elements, so that a row is fetched from memory once. */
    for (size_t i = 0; i < table->digits; i++) {
        const uint64_t *row = table->rows + i * dcsfl_row_words(limbs, table->window_bits);
        for (size_t first = 0; first < count; first += lanes) {
            uint64_t *element = out + first / lanes * words;
            for (size_t lane = 0; lane < lanes; lane++)
                digits[lane] = first + lane < count
                                   ? digit_at(exponents + (first + lane) * exponent_bytes, exponent_bytes,
                                              i * table->window_bits, table->window_bits)
                                   : 0;
            kernels->pick(i == 0 ? element : chosen, row, limbs, table->window_bits, digits);
            if (i != 0)
                kernels->multiply(modulus, scratch, element, element, chosen);
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
