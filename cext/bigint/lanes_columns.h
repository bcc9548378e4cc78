/*
 * The products of bigint.h column by column, for targets that sum products whole. Included by one .c file per target,
 * which first defines
 *   LANES       numbers at a time
 *   LIMB_BITS   and MAX_LIMBS, which 8,192 bits and the slack take
 *   limb        a limb of LANES numbers, as arrays hold it
 *   sum         LANES sums of products
 *   TILE        columns that are summed at once, in registers
 *   CARRY_EVERY products after which a sum's carry is taken: three more and carries must fit; 0 where a sum of
 *               3 * MAX_LIMBS products and some limbs does
 *   limb_set(x), limb_add(a, b), limb_complement(a)       2^LIMB_BITS - 1 - a
 *   sum_zero(), sum_from(limb), sum_add(a, b), sum_add_product(s, a, b)
 *   sum_limb(s), sum_carry(s)             s mod 2^LIMB_BITS and the rest, shifted
 *   sum_quotient(s, inverse)              s * inverse mod 2^LIMB_BITS
 *
 * A limb of the left factor serves all columns of a tile while their sums stay in registers. The right factor lies
 * between zeros, so that no column has an end of its own. What the last column carries is in sums[TILE].
 */
#ifndef DCSFL_LANES_COLUMNS_H
#define DCSFL_LANES_COLUMNS_H

#include <string.h>

#include "../verify.h"
#include "bigint.h"

#define PADDED(limbs) ((limbs) + 2 * TILE)

/* Keeps the compiler from carrying limbs over to the next turn of a loop, in registers that the sums need. */
#ifdef __GNUC__
#define HOLD(pointer) __asm__("" : "+r"(pointer))
#else
#define HOLD(pointer) ((void)0)
#endif

static inline const limb *limbs_of(const uint64_t *words) {
    return (const limb *)(const void *)words;
}

static inline limb *limbs_in(uint64_t *words) {
    return (limb *)(void *)words;
}

/* Zeros around memory[PADDED(limbs)], whose limb 0 is returned. */
static limb *pad(limb *memory, size_t limbs) {
    for (size_t j = 0; j < TILE; j++)
        memory[j] = memory[TILE + limbs + j] = limb_set(0);
    return memory + TILE;
}

static const limb *padded_copy(limb *memory, const limb *number, size_t limbs) {
    return (const limb *)memcpy(pad(memory, limbs), number, limbs * sizeof *number);
}

/* A constant, in every lane. */
static const limb *padded_constant(limb *memory, const uint64_t *constant, size_t limbs) {
    limb *out = pad(memory, limbs);

    for (size_t j = 0; j < limbs; j++)
        out[j] = limb_set(constant[j]);
    return out;
}

static inline void clear_tile(sum *sums) {
    for (size_t t = 0; t <= TILE; t++)
        sums[t] = sum_zero();
}

/* sums[t] += a[i] * b[t - i], i < rows. */
static inline __attribute__((always_inline)) void add_rows(sum *sums, const limb *a, const limb *b, ptrdiff_t rows) {
    sum column[TILE];

#pragma GCC unroll 8
    for (size_t t = 0; t < TILE; t++)
        column[t] = sums[t];
    for (const limb *end = a + rows; a < end; a++, b--) {
        const limb left = *a;
        HOLD(b);
#pragma GCC unroll 8
        for (size_t t = 0; t < TILE; t++)
            column[t] = sum_add_product(column[t], left, b[t]);
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < TILE; t++)
        sums[t] = column[t];
}

/* The same number in sums that are ready for CARRY_EVERY products. */
static inline __attribute__((always_inline)) void take_carries(sum *sums) {
#pragma GCC unroll 8
    for (size_t t = TILE; t > 0; t--) {
        sums[t] = sum_add(sums[t], sum_carry(sums[t - 1]));
        sums[t - 1] = sum_from(sum_limb(sums[t - 1]));
    }
}

/* sums[t] += a[i] * b[k + t - i], first <= i < end; b padded, its indices in [-TILE, limbs + TILE). */
static inline void add_tile(sum *sums, const limb *a, const limb *b, ptrdiff_t k, ptrdiff_t first, ptrdiff_t end) {
    for (; CARRY_EVERY != 0 && end - first > CARRY_EVERY; first += CARRY_EVERY) {
        add_rows(sums, a + first, b + k - first, CARRY_EVERY);
        take_carries(sums);
    }
    add_rows(sums, a + first, b + k - first, end - first);
    if (CARRY_EVERY != 0)
        take_carries(sums);
}

/* sums += columns [k, k + TILE) of a[limbs] * b[limbs], -TILE < k < 2 * limbs; b padded. */
static inline void add_columns(sum *sums, const limb *a, const limb *b, size_t limbs, ptrdiff_t k) {
    const ptrdiff_t count = (ptrdiff_t)limbs;

    add_tile(sums, a, b, k, k < count ? 0 : k - count + 1, k + TILE < count ? k + TILE : count);
}

/* The lowest column of the first of the tiles that end with column limbs - 1: it may reach below column 0. */
static inline ptrdiff_t first_tile(size_t limbs) {
    return -(ptrdiff_t)(TILE - 1 - (limbs - 1) % TILE);
}

/* One reduction on its way: quotient limbs of the columns that are done, and the carry into the next. */
struct reduction {
    const limb *n;
    limb inverse;
    limb *quotients;
    sum carry;
};

/* Clear column k + t, which is sums[t]. */
static inline void clear_column(struct reduction *r, sum *sums, ptrdiff_t k, ptrdiff_t t) {
    const sum column = sum_add(sums[t], r->carry);
    const limb quotient = sum_quotient(column, r->inverse);

    r->carry = sum_carry(sum_add_product(column, quotient, r->n[0]));
    r->quotients[k + t] = quotient;
    for (ptrdiff_t later = t + 1; later < TILE; later++)
        sums[later] = sum_add_product(sums[later], quotient, r->n[later - t]);
}

/* out[k ..] up to `end` <- sums, carried. */
static inline void store_tile(limb *out, const sum *sums, sum *carry, ptrdiff_t k, ptrdiff_t end) {
    for (ptrdiff_t t = 0; t < TILE && k + t < end; t++) {
        *carry = sum_add(*carry, sums[t]);
        out[k + t] = sum_limb(*carry);
        *carry = sum_carry(*carry);
    }
    *carry = sum_add(*carry, sums[TILE]);
}

/*
 * out <- x * y / R: left1 NULL for a square, where the high half is x0 * (2 x1); right1 NULL too for residues, which have
 * no high half.
 */
static void multiply_by(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const limb *left,
                        const limb *left1, const limb *right0, const limb *right1) {
    const size_t limbs = modulus->limbs;
    limb *z = limbs_in(scratch), *first = z + 2 * limbs, *second = first + limbs, *spare = second + limbs;
    const limb *n = padded_constant(spare, modulus->n, limbs);
    const limb *y0 = padded_copy(spare + PADDED(limbs), right0, limbs);
    const limb *y1 = right1 == NULL ? NULL : padded_copy(spare + 2 * PADDED(limbs), right1, limbs);
    const limb inverse = limb_set(modulus->inverse[0]);
    struct reduction low = {n, inverse, first, sum_zero()}, high = {n, inverse, second, sum_zero()};

    DCSFL_VERIFY(limbs >= 16 && limbs <= MAX_LIMBS);
    for (ptrdiff_t k = first_tile(limbs); k < (ptrdiff_t)limbs; k += TILE) {
        sum sums[TILE + 1], high_sums[TILE + 1];
        clear_tile(sums);
        clear_tile(high_sums);
        add_columns(sums, left, y0, limbs, k);
        add_tile(sums, first, n, k, 0, k < 0 ? 0 : k);
        if (y1 != NULL) {
            add_columns(high_sums, left, y1, limbs, k);
            if (left1 != NULL)
                add_columns(high_sums, left1, y0, limbs, k);
            add_tile(high_sums, second, n, k, 0, k < 0 ? 0 : k);
        }
        for (ptrdiff_t t = k < 0 ? -k : 0; t < TILE; t++) {
            clear_column(&low, sums, k, t);
            if (y1 == NULL)
                continue;
            high_sums[t] = sum_add(high_sums[t], sum_from(limb_add(limb_set(modulus->lift[k + t]),
                                                                   limb_complement(first[k + t]))));
            clear_column(&high, high_sums, k, t);
        }
        low.carry = sum_add(low.carry, sums[TILE]);
        high.carry = sum_add(high.carry, high_sums[TILE]);
    }
    for (ptrdiff_t k = (ptrdiff_t)limbs; k < 2 * (ptrdiff_t)limbs; k += TILE) {
        sum sums[TILE + 1], high_sums[TILE + 1];
        clear_tile(sums);
        clear_tile(high_sums);
        add_columns(sums, left, y0, limbs, k);
        add_columns(sums, first, n, limbs, k);
        store_tile(z - limbs, sums, &low.carry, k, 2 * (ptrdiff_t)limbs);
        if (y1 == NULL)
            continue;
        add_columns(high_sums, left, y1, limbs, k);
        if (left1 != NULL)
            add_columns(high_sums, left1, y0, limbs, k);
        add_columns(high_sums, second, n, limbs, k);
        store_tile(z, high_sums, &high.carry, k, 2 * (ptrdiff_t)limbs);
    }
    memcpy(out, z, (y1 == NULL ? 1 : 2) * limbs * sizeof *z);
}

static void multiply(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *left,
                     const uint64_t *right) {
    const size_t limbs = modulus->limbs;

    multiply_by(modulus, scratch, out, limbs_of(left), limbs_of(left) + limbs, limbs_of(right),
                limbs_of(right) + limbs);
}

static void square(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *factor) {
    const size_t limbs = modulus->limbs;
    limb *doubled = limbs_in(scratch) + 4 * limbs + 3 * PADDED(limbs);
    const limb *high = limbs_of(factor) + limbs;
    sum carry = sum_zero();

    for (size_t j = 0; j < limbs; j++) {
        carry = sum_add(carry, sum_from(limb_add(high[j], high[j])));
        doubled[j] = sum_limb(carry);
        carry = sum_carry(carry);
    }
    multiply_by(modulus, scratch, out, limbs_of(factor), NULL, limbs_of(factor), doubled);
}

static void multiply_residues(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out,
                              const uint64_t *left, const uint64_t *right) {
    multiply_by(modulus, scratch, out, limbs_of(left), NULL, limbs_of(right), NULL);
}

/* --- fixed factors ------------------------------------------------------------------------------------------------ */

/* Products that are summed: of one number by another each. */
struct term {
    const limb *left, *right;
};

/* columns[end - start + TILE] <- columns from `start` to past `end` of the sum of the terms' products. */
static void sum_columns(sum *columns, const struct term *terms, size_t term_count, size_t limbs, ptrdiff_t start,
                        ptrdiff_t end) {
    columns[0] = sum_zero();
    for (ptrdiff_t k = start; k < end; k += TILE, columns += TILE) {
        sum sums[TILE + 1];
        clear_tile(sums);
        sums[0] = columns[0];
        for (size_t i = 0; i < term_count; i++)
            add_columns(sums, terms[i].left, terms[i].right, limbs, k);
        for (size_t t = 0; t <= TILE; t++)
            columns[t] = sums[t];
    }
}

static void advance(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *state, const uint64_t *factor) {
    const size_t limbs = modulus->limbs;
    const ptrdiff_t count = (ptrdiff_t)limbs, start = first_tile(limbs);
    const limb *factors = limbs_of(factor), *share = factors + 2 * limbs;
    limb *x = limbs_in(state), *w = x + limbs, *s = w + limbs;
    sum *columns = (sum *)(void *)scratch, *columns1 = columns + PADDED(limbs);
    sum carry, carry1, share_carry = sum_zero();
    limb *first = (limb *)(void *)(columns1 + PADDED(limbs)), *second = first + limbs, *spare = second + limbs;
    const limb *right = padded_copy(spare, factors, limbs);
    const limb *shifted = padded_copy(spare + PADDED(limbs), factors + limbs, limbs);
    const limb *negative = padded_constant(spare + 2 * PADDED(limbs), modulus->negative, limbs);

    DCSFL_VERIFY(limbs >= 16 && limbs <= MAX_LIMBS);
    /* The quotients, from columns L - 2 on. */
    sum_columns(columns, &(struct term){x, shifted}, 1, limbs, count - 2, 2 * count);
    sum_columns(columns1, &(struct term){w, shifted}, 1, limbs, count - 2, 2 * count);
    carry = sum_carry(sum_add(columns[1], sum_carry(columns[0])));
    carry1 = sum_carry(sum_add(columns1[1], sum_carry(columns1[0])));
    for (size_t j = 0; j < limbs; j++) {
        carry = sum_add(carry, columns[j + 2]);
        first[j] = sum_limb(carry);
        carry = sum_carry(carry);
        carry1 = sum_add(carry1, columns1[j + 2]);
        second[j] = sum_limb(carry1);
        carry1 = sum_carry(carry1);
    }
    sum_columns(columns, (struct term[]){{x, right}, {first, negative}}, 2, limbs, start, count);
    sum_columns(columns1, (struct term[]){{w, right}, {second, negative}}, 2, limbs, start, count);
    carry = carry1 = sum_zero();
    for (size_t j = 0; j < limbs; j++) {
        carry = sum_add(carry, columns[(ptrdiff_t)j - start]);
        x[j] = sum_limb(carry);
        carry = sum_carry(carry);
        carry1 = sum_add(sum_add(carry1, columns1[(ptrdiff_t)j - start]),
                         sum_from(limb_add(first[j], limb_set(modulus->n[j]))));
        w[j] = sum_limb(carry1);
        carry1 = sum_carry(carry1);
        share_carry = sum_add(share_carry, sum_from(limb_add(s[j], share[j])));
        s[j] = sum_limb(share_carry);
        share_carry = sum_carry(share_carry);
    }
}

/* --- plain numbers ------------------------------------------------------------------------------------------------ */

static void multiply_add(uint64_t *scratch, uint64_t *out, const uint64_t *factor, size_t factor_limbs,
                         const uint64_t *constant, size_t constant_limbs, const uint64_t *addend,
                         size_t addend_limbs) {
    const limb *right = padded_constant(limbs_in(scratch), constant, constant_limbs);
    const ptrdiff_t end = (ptrdiff_t)(factor_limbs + constant_limbs);
    sum carry = sum_zero();

    for (ptrdiff_t k = 0; k < end; k += TILE) {
        const ptrdiff_t above = k - (ptrdiff_t)constant_limbs + 1, below = (ptrdiff_t)factor_limbs;
        sum sums[TILE + 1];
        clear_tile(sums);
        for (size_t t = 0; t < TILE && (size_t)k + t < addend_limbs; t++)
            sums[t] = sum_from(limbs_of(addend)[(size_t)k + t]);
        add_tile(sums, limbs_of(factor), right, k, above > 0 ? above : 0, k + TILE < below ? k + TILE : below);
        store_tile(limbs_in(out), sums, &carry, k, end);
    }
}

#endif
