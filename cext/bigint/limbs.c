/* Numbers of many lanes outside of products, in plain C11 for every target. */
#include "limbs.h"

#include <string.h>

#include "../pack/stream.h"

/* Bytes [at, at + 8) as a little-endian number, zeros past the last. */
static uint64_t load_word(const uint8_t *bytes, size_t byte_count, size_t at) {
    const size_t left = at < byte_count ? byte_count - at : 0;
    uint64_t word = 0;

    if (left >= 8)
        return dcsfl_load_le64(bytes + at);
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)bytes[at + i] << 8 * i;
    return word;
}

void dcsfl_limbs_load(const struct dcsfl_bigint_kernels *kernels, uint64_t *out, size_t limbs, size_t lane,
                      const uint8_t *bytes, size_t byte_count, size_t first_bit) {
    const uint64_t mask = (UINT64_C(1) << kernels->limb_bits) - 1;

    for (size_t j = 0; j < limbs; j++) {
        const size_t bit = first_bit + j * kernels->limb_bits;
        uint64_t limb = load_word(bytes, byte_count, bit / 8) >> bit % 8;
        if (bit % 8 != 0 && bit / 8 + 8 < byte_count)
            limb |= (uint64_t)bytes[bit / 8 + 8] << (64 - bit % 8);
        out[j * kernels->lanes + lane] = limb & mask;
    }
}

void dcsfl_limbs_store(const struct dcsfl_bigint_kernels *kernels, uint8_t *bytes, size_t byte_count,
                       const uint64_t *in, size_t limbs, size_t lane) {
    const unsigned limb_bits = kernels->limb_bits;

    for (size_t at = 0; at < byte_count; at += 8) {
        size_t j = 8 * at / limb_bits;
        unsigned filled = limb_bits - (unsigned)(8 * at % limb_bits); /* bits that limb j gives */
        uint64_t word = j < limbs ? in[j * kernels->lanes + lane] >> (limb_bits - filled) : 0;
        for (j++; filled < 64 && j < limbs; j++, filled += limb_bits)
            word |= in[j * kernels->lanes + lane] << filled;
        dcsfl_store_le64(bytes + at, word);
    }
}

void dcsfl_limbs_add(const struct dcsfl_bigint_kernels *kernels, uint64_t *sum, const uint64_t *addend, size_t limbs) {
    const unsigned limb_bits = kernels->limb_bits, lanes = kernels->lanes;
    const uint64_t mask = (UINT64_C(1) << limb_bits) - 1;
    uint64_t carry[DCSFL_BIGINT_MAX_LANES] = {0};

    for (size_t j = 0; j < limbs; j++, sum += lanes, addend += lanes)
        for (unsigned lane = 0; lane < lanes; lane++) {
            const uint64_t limb = sum[lane] + addend[lane] + carry[lane];
            sum[lane] = limb & mask;
            carry[lane] = limb >> limb_bits;
        }
}

void dcsfl_limbs_carry(const struct dcsfl_bigint_kernels *kernels, uint64_t *number, size_t limbs) {
    const uint64_t mask = (UINT64_C(1) << kernels->limb_bits) - 1;
    uint64_t carry[DCSFL_BIGINT_MAX_LANES] = {0};

    for (size_t j = 0; j < limbs; j++, number += kernels->lanes)
        for (unsigned lane = 0; lane < kernels->lanes; lane++) {
            const uint64_t limb = number[lane] + carry[lane];
            number[lane] = limb & mask;
            carry[lane] = limb >> kernels->limb_bits;
        }
}

/* at_least[lane] <- 1 if number >= n, else 0. */
static void compare(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                    const uint64_t *number, uint64_t *at_least) {
    uint64_t borrow[DCSFL_BIGINT_MAX_LANES] = {0};

    for (size_t j = 0; j < modulus->limbs; j++, number += kernels->lanes)
        for (unsigned lane = 0; lane < kernels->lanes; lane++)
            borrow[lane] = (number[lane] - modulus->n[j] - borrow[lane]) >> 63;
    for (unsigned lane = 0; lane < kernels->lanes; lane++)
        at_least[lane] = 1 - borrow[lane];
}

/* number -= n where chosen[lane] is 1. */
static void subtract(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus, uint64_t *number,
                     const uint64_t *chosen) {
    const uint64_t mask = (UINT64_C(1) << kernels->limb_bits) - 1;
    uint64_t borrow[DCSFL_BIGINT_MAX_LANES] = {0};

    for (size_t j = 0; j < modulus->limbs; j++, number += kernels->lanes)
        for (unsigned lane = 0; lane < kernels->lanes; lane++) {
            const uint64_t limb = number[lane] - (modulus->n[j] & (0 - chosen[lane])) - borrow[lane];
            number[lane] = limb & mask;
            borrow[lane] = limb >> 63;
        }
}

void dcsfl_limbs_subtract_once(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                               uint64_t *number) {
    uint64_t at_least[DCSFL_BIGINT_MAX_LANES];

    compare(kernels, modulus, number, at_least);
    subtract(kernels, modulus, number, at_least);
}

void dcsfl_nadic_reduce_low(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                            uint64_t *element) {
    const uint64_t mask = (UINT64_C(1) << kernels->limb_bits) - 1;
    uint64_t *high = element + modulus->limbs * kernels->lanes;
    uint64_t carry[DCSFL_BIGINT_MAX_LANES];

    compare(kernels, modulus, element, carry);
    subtract(kernels, modulus, element, carry);
    /* x0 - n + (x1 + 1) n is the same number. */
    for (size_t j = 0; j < modulus->limbs; j++)
        for (unsigned lane = 0; lane < kernels->lanes; lane++) {
            const uint64_t limb = high[j * kernels->lanes + lane] + carry[lane];
            high[j * kernels->lanes + lane] = limb & mask;
            carry[lane] = limb >> kernels->limb_bits;
        }
}

void dcsfl_nadic_canonicalise(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_modulus *modulus,
                              uint64_t *element) {
    dcsfl_nadic_reduce_low(kernels, modulus, element);
    dcsfl_limbs_subtract_once(kernels, modulus, element + modulus->limbs * kernels->lanes);
}

void dcsfl_limbs_spread(const struct dcsfl_bigint_kernels *kernels, uint64_t *out, const uint64_t *constant,
                        size_t limbs) {
    for (size_t j = 0; j < limbs; j++)
        for (unsigned lane = 0; lane < kernels->lanes; lane++)
            out[j * kernels->lanes + lane] = constant[j];
}

void dcsfl_wipe(void *memory, size_t bytes) {
#ifdef __GNUC__
    memset(memory, 0, bytes);
    __asm__ volatile("" : : "r"(memory) : "memory"); /* may read it, for all the compiler knows */
#else
    volatile uint8_t *at = (volatile uint8_t *)memory;

    for (size_t i = 0; i < bytes; i++)
        at[i] = 0;
#endif
}
