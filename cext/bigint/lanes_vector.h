/*
 * The products of bigint.h on vectors, for targets that multiply and add half products: the low or the high LIMB_BITS
 * bits of one. Included by one .c file per target, which first defines
 *   LIMB_BITS, and MAX_LIMBS, which 8,192 bits and the slack take
 *   vector       a register of 64-bit integers, one limb of VECTOR_LANES numbers; LANES of them are a limb of all
 *   operand      a register that holds a factor: limbs as integers, or as floating-point numbers
 *   BLOCK        limbs of the left factor that are held in registers at once
 *   WRITTEN_OUT  1 where moves between registers would cost: the inner loop is then BLOCK + 1 times as long
 *   vector_load, vector_store, vector_set, vector_add, vector_sub, vector_and, vector_carry (a shift right by LIMB_BITS)
 *   operand_from(vector)                  limbs < 2^LIMB_BITS as a factor
 *   multiply_accumulate(lo, hi, a, b)     *lo += low half of a * b, *hi += high half, in the representation of sums
 *   column_start(lows, highs, is_first)   the value to start a sum from that will get so many low and high halves
 *   GUARD                                 what low halves left out of a column can add up to below 0
 *   quotient(column, inverse)             column * inverse mod 2^LIMB_BITS, for a column that lacks one low half
 * Rows of the left factor, BLOCK at a time, run over the right one with their columns in registers; a column's carry
 * is taken once. Sums of a column, of at most 3 L low and 3 L high halves for L <= MAX_LIMBS, must fit.
 *
 * The two reductions go in step, one block of columns after the other: column k of the second needs limb k of the
 * first one's quotient only.
 */
#ifndef DCSFL_LANES_VECTOR_H
#define DCSFL_LANES_VECTOR_H

#include "../verify.h"
#include "bigint.h"
#include "limbs.h"

#define LIMB_MASK ((UINT64_C(1) << LIMB_BITS) - 1)

static inline __attribute__((always_inline)) void accumulate(vector *low, vector *high, operand a, operand b) {
    multiply_accumulate(low, high, a, b);
#if WRITTEN_OUT && defined(__GNUC__)
    /* In the order written: left alone, compilers gather the terms first and run out of registers. */
    __asm__("" : "+v"(*low));
    __asm__("" : "+v"(*high));
#endif
}

/*
 * columns[0 .. a + b) <- starts for `products` products of a by b limbs: the pairs of a column are one more than those
 * of the one before it, as many and then one less.
 */
static void start_columns(vector *columns, size_t a, size_t b, uint64_t products) {
    const size_t least = a < b ? a : b, most = a < b ? b : a;
    const vector step = vector_sub(column_start(products, products, 0), column_start(0, 0, 0));
    vector start = column_start(2 * products, products, 0);
    size_t k = 1;

    columns[0] = column_start(products, 0, 1);
    for (; k < least; k++) {
        columns[k] = start;
        start = vector_add(start, step);
    }
    start = column_start(products * least, products * least, 0);
    for (; k < most; k++)
        columns[k] = start;
    start = column_start(products * (least - 1), products * least, 0);
    for (; k < a + b; k++) {
        columns[k] = start;
        start = vector_sub(start, step);
    }
}

/*
 * columns[0 .. rows + count) += a[rows] * b[count]. Column c is in window[c % span] from its first product to its last;
 * with `span` turns of the inner loop written out that is a register, and nothing moves.
 */
static inline __attribute__((always_inline)) void add_rows(vector *columns, const operand *a, const size_t rows,
                                                           const operand *b, size_t count) {
    vector window[BLOCK + 1];
    size_t j = 0;

#pragma GCC unroll 16
    for (size_t s = 0; s < rows; s++)
        window[s] = columns[s];
#if WRITTEN_OUT
    const size_t span = rows + 1;
    window[rows] = columns[rows];
    for (; count - j > span; j += span) {
#pragma GCC unroll 16
        for (size_t turn = 0; turn < span; turn++) {
            const operand factor = b[j + turn];
#pragma GCC unroll 16
            for (size_t s = 0; s < rows; s++)
                accumulate(&window[(turn + s) % span], &window[(turn + s + 1) % span], a[s], factor);
            columns[j + turn] = window[turn];
            window[turn] = columns[j + turn + span];
        }
    }
#endif
    for (; j < count; j++) {
        const operand factor = b[j];
        window[rows] = columns[j + rows];
#pragma GCC unroll 16
        for (size_t s = 0; s < rows; s++)
            accumulate(&window[s], &window[s + 1], a[s], factor);
        columns[j] = window[0];
#pragma GCC unroll 16
        for (size_t s = 0; s < rows; s++)
            window[s] = window[s + 1];
    }
#pragma GCC unroll 16
    for (size_t s = 0; s < rows; s++)
        columns[count + s] = window[s];
}

/* One step of the corner: the quotient that clears column k, and its products with the first `rows` limbs of n. */
static inline __attribute__((always_inline)) vector clear_column(vector *columns, const operand *n, size_t k,
                                                                 const size_t rows, operand inverse,
                                                                 operand *quotient_limb) {
    const vector limb = quotient(columns[k], inverse);

    *quotient_limb = operand_from(limb);
#pragma GCC unroll 8
    for (size_t j = 0; j < rows; j++)
        multiply_accumulate(&columns[k + j], &columns[k + j + 1], *quotient_limb, n[j]);
    columns[k + 1] = vector_add(columns[k + 1], vector_carry(columns[k]));
    return limb;
}

/*
 * The quotients of `rows` columns of both sums, first[rows] and second[rows], and their products with as many limbs of
 * n: after it columns [0, rows) are used up and their carry is in column `rows`.
 */
static inline __attribute__((always_inline)) void clear_corner(vector *low, vector *high, operand *first,
                                                               operand *second, const operand *n, const size_t rows,
                                                               operand inverse, const uint64_t *lift) {
    vector low_columns[2 * BLOCK], high_columns[2 * BLOCK];

#pragma GCC unroll 16
    for (size_t k = 0; k < 2 * rows; k++) {
        low_columns[k] = low[k];
        high_columns[k] = high[k];
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < rows; k++) {
        const vector limb = clear_column(low_columns, n, k, rows, inverse, &first[k]);
        const vector complement = vector_sub(vector_set(LIMB_MASK), limb);
        high_columns[k] = vector_add(high_columns[k], vector_add(vector_set(lift[k]), complement));
        (void)clear_column(high_columns, n, k, rows, inverse, &second[k]);
    }
#pragma GCC unroll 8
    for (size_t k = rows; k < 2 * rows; k++) {
        low[k] = low_columns[k];
        high[k] = high_columns[k];
    }
}

/* What a product is made from: the right factor and n as operands, and the columns of z0 and z1; high NULL: no z1. */
struct product {
    size_t limbs;
    const struct dcsfl_modulus *modulus;
    operand inverse;
    const operand *n, *right0, *right1;
    vector *low, *high;
};

/* One block of the left factor: its products, then the reduction by as many limbs. left1 NULL: x1 * y0 is left out. */
static inline __attribute__((always_inline)) void multiply_block(const struct product *p, size_t first,
                                                                 const size_t rows, const uint64_t *left0,
                                                                 const uint64_t *left1) {
    const size_t limbs = p->limbs;
    operand a[BLOCK], b[BLOCK];

#pragma GCC unroll 8
    for (size_t s = 0; s < rows; s++)
        a[s] = operand_from(vector_load(left0 + (first + s) * LANES));
    add_rows(p->low + first, a, rows, p->right0, limbs);
    if (p->high == NULL) {
#pragma GCC unroll 8
        for (size_t k = 0; k < rows; k++)
            (void)clear_column(p->low + first, p->n, k, rows, p->inverse, &a[k]);
        add_rows(p->low + first + rows, a, rows, p->n + rows, limbs - rows);
        return;
    }
    add_rows(p->high + first, a, rows, p->right1, limbs);
    if (left1 != NULL) {
#pragma GCC unroll 8
        for (size_t s = 0; s < rows; s++)
            a[s] = operand_from(vector_load(left1 + (first + s) * LANES));
        add_rows(p->high + first, a, rows, p->right0, limbs);
    }
    clear_corner(p->low + first, p->high + first, a, b, p->n, rows, p->inverse, p->modulus->lift + first);
    add_rows(p->low + first + rows, a, rows, p->n + rows, limbs - rows);
    add_rows(p->high + first + rows, b, rows, p->n + rows, limbs - rows);
}

/* The rest of the left factor, fewer limbs than a block. */
static void multiply_rest(const struct product *p, size_t first, size_t rows, const uint64_t *left0,
                          const uint64_t *left1) {
    switch (rows) {
#define REST(count)                                      \
    case count:                                          \
        multiply_block(p, first, count, left0, left1);   \
        break;
        REST(1)
        REST(2)
        REST(3)
#if BLOCK > 4
        REST(4)
        REST(5)
        REST(6)
        REST(7)
#endif
#undef REST
    default:
        break;
    }
}

/* out[limbs] <- columns, carried. */
static void carry_out(uint64_t *out, const vector *columns, size_t limbs) {
    const vector mask = vector_set(LIMB_MASK);
    vector carry = vector_set(0);

    for (size_t j = 0; j < limbs; j++) {
        const vector column = vector_add(columns[j], carry);
        vector_store(out + j * LANES, vector_and(column, mask));
        carry = vector_carry(column);
    }
}

/* operands[limbs] <- limbs, times 2 with carries if `doubled`. */
static void load_operands(operand *operands, const uint64_t *limbs, size_t count, int doubled) {
    const vector mask = vector_set(LIMB_MASK);
    vector carry = vector_set(0);

    for (size_t j = 0; j < count; j++) {
        vector limb = vector_load(limbs + j * LANES);
        if (doubled) {
            limb = vector_add(vector_add(limb, limb), carry);
            carry = vector_carry(limb);
            limb = vector_and(limb, mask);
        }
        operands[j] = operand_from(limb);
    }
}

enum product_kind { PRODUCT, SQUARE, RESIDUE };

static void multiply_vectors(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out,
                             const uint64_t *left, const uint64_t *right, enum product_kind kind) {
    const size_t limbs = modulus->limbs;
    operand *n = (operand *)(void *)scratch, *right0 = n + limbs, *right1 = right0 + limbs;
    vector *low = (vector *)(void *)(right1 + limbs), *high = kind == RESIDUE ? NULL : low + 2 * limbs;
    const uint64_t *left1 = kind == PRODUCT ? left + limbs * LANES : NULL;
    const struct product p = {limbs, modulus, operand_from(vector_set(modulus->inverse[0])), n, right0, right1, low, high};
    size_t first = 0;

    DCSFL_VERIFY(limbs >= 2 * BLOCK && limbs <= MAX_LIMBS);
    for (size_t j = 0; j < limbs; j++)
        n[j] = operand_from(vector_set(modulus->n[j]));
    load_operands(right0, right, limbs, 0);
    start_columns(low, limbs, limbs, 2);
    if (high != NULL) {
        load_operands(right1, right + limbs * LANES, limbs, kind == SQUARE);
        start_columns(high, limbs, limbs, kind == SQUARE ? 2 : 3);
    }
    for (; limbs - first >= BLOCK; first += BLOCK)
        multiply_block(&p, first, BLOCK, left, left1);
    multiply_rest(&p, first, limbs - first, left, left1);
    carry_out(out, low + limbs, limbs);
    if (high != NULL)
        carry_out(out + limbs * LANES, high + limbs, limbs);
}

/* One block of the rows of a product, from the row's columns of weight L - 2 on (high) or up to L - 1 (low). */
static inline __attribute__((always_inline)) void half_block(vector *columns, const uint64_t *left, size_t first,
                                                             const size_t rows, const operand *right, size_t limbs,
                                                             int is_high) {
    const size_t last = first + rows - 1;
    const size_t start = is_high && last < limbs - 2 ? limbs - 2 - last : 0;
    operand a[BLOCK];

#pragma GCC unroll 8
    for (size_t s = 0; s < rows; s++)
        a[s] = operand_from(vector_load(left + (first + s) * LANES));
    add_rows(columns + first + start, a, rows, right + start, is_high ? limbs - start : limbs - first);
}

static void half_rest(vector *columns, const uint64_t *left, size_t first, size_t rows, const operand *right,
                      size_t limbs, int is_high) {
    switch (rows) {
#define REST(count)                                                          \
    case count:                                                              \
        half_block(columns, left, first, count, right, limbs, is_high);      \
        break;
        REST(1)
        REST(2)
        REST(3)
#if BLOCK > 4
        REST(4)
        REST(5)
        REST(6)
        REST(7)
#endif
#undef REST
    default:
        break;
    }
}

/* columns += left * right, the columns from L - 1 on, whose neighbours below are left undefined. */
static void add_high_half(vector *columns, const uint64_t *left, const operand *right, size_t limbs) {
    size_t first = 0;

    for (; limbs - first >= BLOCK; first += BLOCK)
        half_block(columns, left, first, BLOCK, right, limbs, 1);
    half_rest(columns, left, first, limbs - first, right, limbs, 1);
}

/* columns += left * right, the columns [0, L) of it, whose neighbours above are left undefined. */
static void add_low_half(vector *columns, const uint64_t *left, const operand *right, size_t limbs) {
    size_t first = 0;

    for (; limbs - first >= BLOCK; first += BLOCK)
        half_block(columns, left, first, BLOCK, right, limbs, 0);
    half_rest(columns, left, first, limbs - first, right, limbs, 0);
}

/* quotients[L] <- floor(left * right / R), or a little less: the halves in columns below L - 1 are left out. */
static void high_quotient(vector *columns, uint64_t *quotients, const uint64_t *left, const operand *right,
                          size_t limbs) {
    const size_t first = limbs - 1;
    const vector step = vector_sub(column_start(1, 1, 0), column_start(0, 0, 0));
    vector start = column_start(limbs - 1, limbs, 0);

    columns[first] = vector_sub(column_start(limbs, limbs - 1, 1), vector_set(GUARD));
    for (size_t k = limbs; k < 2 * limbs; k++) {
        columns[k] = start;
        start = vector_sub(start, step);
    }
    add_high_half(columns, left, right, limbs);
    columns[limbs] = vector_add(columns[limbs], vector_carry(columns[first]));
    carry_out(quotients, columns + limbs, limbs);
}

static void advance_vectors(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *state,
                            const uint64_t *factor) {
    const size_t limbs = modulus->limbs;
    uint64_t *quotient0 = scratch, *quotient1 = quotient0 + limbs * LANES;
    operand *negative = (operand *)(void *)(quotient1 + limbs * LANES);
    operand *right = negative + limbs, *shifted = right + limbs;
    vector *columns = (vector *)(void *)(shifted + limbs), *columns1 = columns + 2 * limbs;
    uint64_t *w = state + limbs * LANES, *sum = w + limbs * LANES;

    DCSFL_VERIFY(limbs >= 2 * BLOCK && limbs <= MAX_LIMBS);
    for (size_t j = 0; j < limbs; j++)
        negative[j] = operand_from(vector_set(modulus->negative[j]));
    load_operands(right, factor, limbs, 0);
    load_operands(shifted, factor + limbs * LANES, limbs, 0);
    high_quotient(columns, quotient0, state, shifted, limbs);
    high_quotient(columns1, quotient1, w, shifted, limbs);
    start_columns(columns, limbs, limbs, 2);
    for (size_t k = 0; k < limbs; k++) {
        columns1[k] = vector_add(vector_add(columns[k], vector_load(quotient0 + k * LANES)),
                                 vector_set(modulus->n[k]));
    }
    add_low_half(columns, state, right, limbs);
    add_low_half(columns1, w, right, limbs);
    add_low_half(columns, quotient0, negative, limbs);
    add_low_half(columns1, quotient1, negative, limbs);
    carry_out(state, columns, limbs);
    carry_out(w, columns1, limbs);
    for (size_t j = 0; j < limbs; j++)
        vector_store(sum + j * LANES, vector_add(vector_load(sum + j * LANES),
                                                 vector_load(factor + (2 * limbs + j) * LANES)));
}

static void multiply_add_vectors(uint64_t *scratch, uint64_t *out, const uint64_t *factor, size_t factor_limbs,
                                 const uint64_t *constant, size_t constant_limbs, const uint64_t *addend,
                                 size_t addend_limbs) {
    operand *operands = (operand *)(void *)scratch;
    vector *columns = (vector *)(void *)(operands + constant_limbs);
    size_t first = 0;

    for (size_t j = 0; j < constant_limbs; j++)
        operands[j] = operand_from(vector_set(constant[j]));
    start_columns(columns, factor_limbs, constant_limbs, 1);
    for (size_t j = 0; j < addend_limbs; j++)
        columns[j] = vector_add(columns[j], vector_load(addend + j * LANES));
    for (; factor_limbs - first >= BLOCK; first += BLOCK) {
        operand a[BLOCK];
        for (size_t s = 0; s < BLOCK; s++)
            a[s] = operand_from(vector_load(factor + (first + s) * LANES));
        add_rows(columns + first, a, BLOCK, operands, constant_limbs);
    }
    for (; first < factor_limbs; first++) {
        const operand a = operand_from(vector_load(factor + first * LANES));
        add_rows(columns + first, &a, 1, operands, constant_limbs);
    }
    carry_out(out, columns, factor_limbs + constant_limbs);
}

#endif
