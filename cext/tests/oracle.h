/*
 * Large numbers the slow way, for the tests of cext/bigint: 32-bit words, schoolbook products, division bit by bit.
 * Nothing is shared with what is tested.
 */
#ifndef DCSFL_ORACLE_H
#define DCSFL_ORACLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ORACLE_WORDS 1400 /* the product of two products of two numbers of 8,192 bits and slack fits */

struct number {
    size_t words; /* without zeros at the top */
    uint32_t word[ORACLE_WORDS];
};

static inline void trim(struct number *a) {
    while (a->words > 0 && a->word[a->words - 1] == 0)
        a->words--;
}

static inline struct number small_number(uint32_t value) {
    struct number a = {.words = value != 0, .word = {value}};
    return a;
}

static inline int compare(const struct number *a, const struct number *b) {
    if (a->words != b->words)
        return a->words < b->words ? -1 : 1;
    for (size_t i = a->words; i-- > 0;)
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i] ? -1 : 1;
    return 0;
}

static inline struct number add(const struct number *a, const struct number *b) {
    struct number sum = {0};
    uint64_t carry = 0;

    sum.words = (a->words > b->words ? a->words : b->words) + 1;
    for (size_t i = 0; i < sum.words; i++) {
        carry += (uint64_t)a->word[i] + b->word[i];
        sum.word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    trim(&sum);
    return sum;
}

/* a >= b. */
static inline void subtract_from(struct number *a, const struct number *b) {
    uint64_t borrow = 0;

    for (size_t i = 0; i < a->words; i++) {
        const uint64_t difference = (uint64_t)a->word[i] - b->word[i] - borrow;
        a->word[i] = (uint32_t)difference;
        borrow = difference >> 63;
    }
    trim(a);
}

static inline struct number multiply(const struct number *a, const struct number *b) {
    struct number product = {0};

    product.words = a->words + b->words;
    for (size_t i = 0; i < a->words; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < b->words; j++) {
            carry += (uint64_t)a->word[i] * b->word[j] + product.word[i + j];
            product.word[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        product.word[i + b->words] = (uint32_t)carry;
    }
    trim(&product);
    return product;
}

/* remainder <- a mod m; returns the quotient. */
static inline struct number divide(const struct number *a, const struct number *m, struct number *remainder) {
    struct number quotient = {0};

    memset(remainder, 0, sizeof *remainder);
    quotient.words = a->words;
    for (size_t bit = 32 * a->words; bit-- > 0;) {
        uint32_t carry = a->word[bit / 32] >> bit % 32 & 1;
        for (size_t i = 0; i < remainder->words; i++) {
            const uint32_t top = remainder->word[i] >> 31;
            remainder->word[i] = remainder->word[i] << 1 | carry;
            carry = top;
        }
        if (carry != 0)
            remainder->word[remainder->words++] = carry;
        if (compare(remainder, m) >= 0) {
            subtract_from(remainder, m);
            quotient.word[bit / 32] |= UINT32_C(1) << bit % 32;
        }
    }
    trim(&quotient);
    return quotient;
}

static inline struct number modulo(const struct number *a, const struct number *m) {
    struct number remainder;

    (void)divide(a, m, &remainder);
    return remainder;
}

static inline struct number multiply_modulo(const struct number *a, const struct number *b, const struct number *m) {
    const struct number product = multiply(a, b);
    return modulo(&product, m);
}

/* 2^bit. */
static inline struct number power_of_two(size_t bit) {
    struct number a = {0};

    a.words = bit / 32 + 1;
    a.word[bit / 32] = UINT32_C(1) << bit % 32;
    return a;
}

/* a mod 2^bits, in place. */
static inline void cut(struct number *a, size_t bits) {
    for (size_t i = bits / 32; i < a->words; i++)
        a->word[i] &= i == bits / 32 ? (UINT32_C(1) << bits % 32) - 1 : 0;
    trim(a);
}

static inline int bit_of(const struct number *a, size_t bit) {
    return bit / 32 < ORACLE_WORDS && (a->word[bit / 32] >> bit % 32 & 1) != 0;
}

/* Limbs of one lane to a number; limbs may hold more than limb_bits bits. */
static inline struct number from_limbs(const uint64_t *limbs, size_t count, size_t stride, unsigned limb_bits) {
    struct number sum = {0};

    for (size_t j = count; j-- > 0;) {
        const struct number shift = power_of_two(limb_bits);
        struct number limb = {.words = 2};
        limb.word[0] = (uint32_t)limbs[j * stride];
        limb.word[1] = (uint32_t)(limbs[j * stride] >> 32);
        trim(&limb);
        sum = multiply(&sum, &shift);
        sum = add(&sum, &limb);
    }
    return sum;
}

static inline void to_limbs(const struct number *a, uint64_t *limbs, size_t count, size_t stride, unsigned limb_bits) {
    for (size_t j = 0; j < count; j++) {
        limbs[j * stride] = 0;
        for (unsigned bit = 0; bit < limb_bits; bit++)
            limbs[j * stride] |= (uint64_t)bit_of(a, j * limb_bits + bit) << bit;
    }
}

#endif
