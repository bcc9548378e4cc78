/*
 * Products mod n^2 in plain C11, one number at a time: columns of 59-bit limbs in 128-bit sums (at most 1,024 products
 * fit one; a column of z1 has 3 L <= 420), or of 26-bit limbs in 64-bit sums where the compiler has no 128-bit integer.
 */
#include <string.h>

#include "bigint.h"

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide;
#define LIMB_BITS 59
#else
typedef uint64_t wide;
#define LIMB_BITS 26
#endif

#define LIMB_MASK ((UINT64_C(1) << LIMB_BITS) - 1)

/*
 * Columns are summed four at a time: a limb of the left factor serves all four while they stay in registers. The right
 * factor is copied between zeros, so that no column has an end of its own.
 */
#define TILE 4
#define PADDED(limbs) ((limbs) + 2 * TILE)

/* The copy's limb 0. */
static uint64_t *pad(uint64_t *memory, const uint64_t *number, size_t limbs) {
    memset(memory, 0, TILE * sizeof *memory);
    memcpy(memory + TILE, number, limbs * sizeof *memory);
    memset(memory + TILE + limbs, 0, TILE * sizeof *memory);
    return memory + TILE;
}

/* Keeps the compiler from carrying limbs over to the next turn of a loop, in registers that the sums need. */
#ifdef __GNUC__
#define HOLD(pointer) __asm__("" : "+r"(pointer))
#else
#define HOLD(pointer) ((void)0)
#endif

/* sums[t] += a[i] * b[k + t - i] over first <= i < end; b padded, its indices in [-TILE, limbs + TILE). */
static inline void add_tile(wide *sums, const uint64_t *a, const uint64_t *b, size_t k, size_t first, size_t end) {
    wide sum0 = sums[0], sum1 = sums[1], sum2 = sums[2], sum3 = sums[3];
    const uint64_t *right = b + k - first;

    for (const uint64_t *left = a + first, *last = a + end; left < last; left++, right--) {
        const uint64_t limb = *left;
        HOLD(right);
        sum0 += (wide)limb * right[0];
        sum1 += (wide)limb * right[1];
        sum2 += (wide)limb * right[2];
        sum3 += (wide)limb * right[3];
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

static inline size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* sums += columns [k, k + TILE) of a[a_limbs] * b[b_limbs], a product of two numbers; b padded. */
static inline void add_columns(wide *sums, const uint64_t *a, size_t a_limbs, const uint64_t *b, size_t b_limbs,
                               size_t k) {
    add_tile(sums, a, b, k, k < b_limbs ? 0 : k - b_limbs + 1, smaller(k + TILE, a_limbs));
}

/* out[0 .. TILE) at most, up to `end` <- sums, carried. */
static inline void store_tile(uint64_t *out, const wide *sums, wide *carry, size_t k, size_t end) {
    for (size_t t = 0; t < TILE && k + t < end; t++) {
        *carry += sums[t];
        out[k + t] = (uint64_t)*carry & LIMB_MASK;
        *carry >>= LIMB_BITS;
    }
}

/*
 * One reduction on its way: quotient limbs of the columns that are done, and the carry into the next. clear_tile() takes
 * the sums of columns [k, k + TILE), clears those below L and stores their quotients.
 */
struct reduction {
    const struct dcsfl_modulus *modulus;
    const uint64_t *n; /* padded */
    uint64_t *quotients;
    wide carry;
};

static inline void clear_column(struct reduction *r, wide *sums, size_t k, size_t t) {
    const wide sum = sums[t] + r->carry;
    const uint64_t quotient = ((uint64_t)sum * r->modulus->inverse[0]) & LIMB_MASK;

    r->carry = (sum + (wide)quotient * r->n[0]) >> LIMB_BITS;
    r->quotients[k + t] = quotient;
    for (size_t later = t + 1; later < TILE; later++)
        sums[later] += (wide)quotient * r->n[later - t];
}

/* out <- x * y / R: left1 NULL for a square, where the high half is x0 * (2 x1). */
static void multiply_by(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *left,
                        const uint64_t *left1, const uint64_t *right0, const uint64_t *right1) {
    const size_t limbs = modulus->limbs;
    uint64_t *z = scratch, *first = z + 2 * limbs, *second = first + limbs, *spare = second + limbs;
    const uint64_t *n = pad(spare, modulus->n, limbs), *y0 = pad(spare + PADDED(limbs), right0, limbs);
    const uint64_t *y1 = pad(spare + 2 * PADDED(limbs), right1, limbs);
    struct reduction low = {modulus, n, first, 0}, high = {modulus, n, second, 0};

    for (size_t k = 0; k < limbs; k += TILE) {
        wide sums[TILE] = {0}, high_sums[TILE] = {0};
        add_columns(sums, left, limbs, y0, limbs, k);
        add_tile(sums, first, n, k, 0, k);
        add_columns(high_sums, left, limbs, y1, limbs, k);
        if (left1 != NULL)
            add_columns(high_sums, left1, limbs, y0, limbs, k);
        add_tile(high_sums, second, n, k, 0, k);
        for (size_t t = 0; t < TILE && k + t < limbs; t++) {
            clear_column(&low, sums, k, t);
            high_sums[t] += modulus->lift[k + t] + (first[k + t] ^ LIMB_MASK);
            clear_column(&high, high_sums, k, t);
        }
    }
    for (size_t k = limbs; k < 2 * limbs; k += TILE) {
        wide sums[TILE] = {0}, high_sums[TILE] = {0};
        add_columns(sums, left, limbs, y0, limbs, k);
        add_columns(sums, first, limbs, n, limbs, k);
        add_columns(high_sums, left, limbs, y1, limbs, k);
        if (left1 != NULL)
            add_columns(high_sums, left1, limbs, y0, limbs, k);
        add_columns(high_sums, second, limbs, n, limbs, k);
        store_tile(z - limbs, sums, &low.carry, k, 2 * limbs);
        store_tile(z, high_sums, &high.carry, k, 2 * limbs);
    }
    memcpy(out, z, 2 * limbs * sizeof *out);
}

static void multiply(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *left,
                     const uint64_t *right) {
    multiply_by(modulus, scratch, out, left, left + modulus->limbs, right, right + modulus->limbs);
}

static void square(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *factor) {
    const size_t limbs = modulus->limbs;
    uint64_t *doubled = scratch + 9 * limbs, carry = 0;

    for (size_t j = 0; j < limbs; j++) {
        carry += 2 * factor[limbs + j];
        doubled[j] = carry & LIMB_MASK;
        carry >>= LIMB_BITS;
    }
    multiply_by(modulus, scratch, out, factor, NULL, factor, doubled);
}

/* quotients[L] <- floor(a * b / R), or a little less: the columns below L - 2 are left out. */
static void high_quotient(uint64_t *quotients, const uint64_t *a, const uint64_t *b, size_t limbs) {
    wide carry = 0;

    for (size_t k = limbs - 2; k < 2 * limbs; k += TILE) {
        wide sums[TILE] = {0};
        add_columns(sums, a, limbs, b, limbs, k);
        for (size_t t = 0; t < TILE && k + t < 2 * limbs; t++) {
            carry += sums[t];
            if (k + t >= limbs)
                quotients[k + t - limbs] = (uint64_t)carry & LIMB_MASK;
            carry >>= LIMB_BITS;
        }
    }
}

static void advance(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *state, const uint64_t *factor) {
    const size_t limbs = modulus->limbs;
    const uint64_t *share = factor + 2 * limbs;
    uint64_t *first = scratch, *second = first + limbs, *z = second + limbs, *spare = z + 2 * limbs;
    const uint64_t *right = pad(spare, factor, limbs), *shifted = pad(spare + PADDED(limbs), factor + limbs, limbs);
    const uint64_t *negative = pad(spare + 2 * PADDED(limbs), modulus->negative, limbs);
    uint64_t *w = state + limbs, *sum = w + limbs, carry = 0;
    wide low_carry = 0, high_carry = 0;

    high_quotient(first, state, shifted, limbs);
    high_quotient(second, w, shifted, limbs);
    for (size_t k = 0; k < limbs; k += TILE) {
        wide sums[TILE] = {0}, high_sums[TILE] = {0};
        add_columns(sums, state, limbs, right, limbs, k);
        add_columns(sums, first, limbs, negative, limbs, k);
        add_columns(high_sums, w, limbs, right, limbs, k);
        add_columns(high_sums, second, limbs, negative, limbs, k);
        for (size_t t = 0; t < TILE && k + t < limbs; t++)
            high_sums[t] += first[k + t] + modulus->n[k + t];
        store_tile(z, sums, &low_carry, k, limbs);
        store_tile(z + limbs, high_sums, &high_carry, k, limbs);
    }
    memcpy(state, z, 2 * limbs * sizeof *state);
    for (size_t j = 0; j < limbs; j++) {
        carry += sum[j] + share[j];
        sum[j] = carry & LIMB_MASK;
        carry >>= LIMB_BITS;
    }
}

static void multiply_add(uint64_t *scratch, uint64_t *out, const uint64_t *factor, size_t factor_limbs,
                         const uint64_t *constant, size_t constant_limbs, const uint64_t *addend,
                         size_t addend_limbs) {
    const uint64_t *right = pad(scratch, constant, constant_limbs);
    const size_t end = factor_limbs + constant_limbs;
    wide carry = 0;

    for (size_t k = 0; k < end; k += TILE) {
        wide sums[TILE] = {0};
        add_columns(sums, factor, factor_limbs, right, constant_limbs, k);
        for (size_t t = 0; t < TILE && k + t < addend_limbs; t++)
            sums[t] += addend[k + t];
        store_tile(out, sums, &carry, k, end);
    }
}

/* --- tables: one entry after the other -------------------------------------------------------------------------- */

static void put(uint8_t *row, size_t limbs, unsigned window_bits, size_t first_entry, const uint64_t *numbers,
                size_t lane) {
    (void)window_bits, (void)lane;
    memcpy(row + first_entry * limbs * sizeof *numbers, numbers, DCSFL_PUT_ENTRIES * limbs * sizeof *numbers);
}

/* All ones if a == b, else 0, for a, b < 2^32: no comparison that a compiler might branch on. */
static inline uint64_t equal_mask(uint64_t a, uint64_t b) {
    return 0 - (((a ^ b) - 1) >> 63);
}

/* Eight words of every entry at a time, so that the sums stay in registers. */
#define STRIP 8

static void scan(uint64_t *out, const uint64_t *table, size_t words, size_t entries, uint32_t index) {
    size_t at = 0;

    for (; words - at >= STRIP; at += STRIP) {
        uint64_t chosen[STRIP] = {0};
        for (size_t entry = 0; entry < entries; entry++) {
            const uint64_t mask = equal_mask(entry, index);
            for (size_t i = 0; i < STRIP; i++)
                chosen[i] |= mask & table[entry * words + at + i];
        }
        for (size_t i = 0; i < STRIP; i++)
            out[at + i] = chosen[i];
    }
    for (; at < words; at++) {
        uint64_t chosen = 0;
        for (size_t entry = 0; entry < entries; entry++)
            chosen |= equal_mask(entry, index) & table[entry * words + at];
        out[at] = chosen;
    }
}

/* Look-ups that share a load of every entry, and words of an entry at a time: as much as 16 vector registers hold. */
#define PICKS 4
#define PICK_STRIP 4

static void pick(uint64_t *out, const uint8_t *row, size_t limbs, unsigned window_bits, const uint8_t *digits) {
    const uint64_t *table = (const uint64_t *)(const void *)row;
    const size_t entries = (size_t)1 << window_bits;
    size_t at = 0;

    for (; limbs - at >= PICK_STRIP; at += PICK_STRIP) {
        uint64_t chosen[PICKS][PICK_STRIP] = {{0}};
        for (size_t entry = 0; entry < entries; entry++) {
            const uint64_t *in = table + entry * limbs + at;
            for (size_t l = 0; l < PICKS; l++) {
                const uint64_t mask = equal_mask(entry, digits[l]);
                for (size_t i = 0; i < PICK_STRIP; i++)
                    chosen[l][i] |= mask & in[i];
            }
        }
        for (size_t l = 0; l < PICKS; l++)
            memcpy(out + l * limbs + at, chosen[l], sizeof chosen[l]);
    }
    for (; at < limbs; at++)
        for (size_t l = 0; l < PICKS; l++) {
            uint64_t chosen = 0;
            for (size_t entry = 0; entry < entries; entry++)
                chosen |= equal_mask(entry, digits[l]) & table[entry * limbs + at];
            out[l * limbs + at] = chosen;
        }
}

const struct dcsfl_bigint_kernels dcsfl_bigint_words = {
    LIMB_BITS, 1, PICKS, sizeof(uint64_t), 200, multiply, square, advance, multiply_add, put, pick, scan,
};
