/*
 * Products mod n^2 in plain C11, one number at a time: columns of 59-bit limbs in 128-bit sums (at most 1,024 products
 * fit one; a column of z1 has 3 L <= 420), or of 26-bit limbs in 64-bit sums where the compiler has no 128-bit integer.
 */
#include "../verify.h"
#include "bigint.h"

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide;
#define LIMB_BITS 59
#else
typedef uint64_t wide;
#define LIMB_BITS 26
#endif

#define LIMB_MASK ((UINT64_C(1) << LIMB_BITS) - 1)

/* Sum of a[i] * b[k - i] for first <= i < end. */
static inline wide column(const uint64_t *a, const uint64_t *b, size_t k, size_t first, size_t end) {
    wide sum = 0, other = 0;

#pragma GCC unroll 4
    for (; end - first >= 2; first += 2) {
        sum += (wide)a[first] * b[k - first];
        other += (wide)a[first + 1] * b[k - first - 1];
    }
    if (first < end)
        sum += (wide)a[first] * b[k - first];
    return sum + other;
}

/* The limb that clears the lowest limb of `sum`, which is left as the carry into the next column. */
static inline uint64_t clear_column(const struct dcsfl_modulus *modulus, wide *sum) {
    const uint64_t quotient = ((uint64_t)*sum * modulus->inverse[0]) & LIMB_MASK;

    *sum = (*sum + (wide)quotient * modulus->n[0]) >> LIMB_BITS;
    return quotient;
}

static void multiply(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *left,
                     const uint64_t *right) {
    const size_t limbs = modulus->limbs;
    const uint64_t *x0 = left, *x1 = left + limbs, *y0 = right, *y1 = right + limbs, *n = modulus->n;
    uint64_t *first = scratch, *second = scratch + limbs, *z = scratch + 2 * limbs;
    wide low = 0, high = 0;

    for (size_t k = 0; k < limbs; k++) {
        low += column(x0, y0, k, 0, k + 1) + column(first, n, k, 0, k);
        first[k] = clear_column(modulus, &low);
        high += column(x0, y1, k, 0, k + 1) + column(x1, y0, k, 0, k + 1) + column(second, n, k, 0, k);
        high += modulus->lift[k] + (first[k] ^ LIMB_MASK);
        second[k] = clear_column(modulus, &high);
    }
    for (size_t k = limbs; k < 2 * limbs; k++) {
        const size_t start = k - limbs + 1;
        low += column(x0, y0, k, start, limbs) + column(first, n, k, start, limbs);
        z[k - limbs] = (uint64_t)low & LIMB_MASK;
        low >>= LIMB_BITS;
        high += column(x0, y1, k, start, limbs) + column(x1, y0, k, start, limbs) + column(second, n, k, start, limbs);
        z[k] = (uint64_t)high & LIMB_MASK;
        high >>= LIMB_BITS;
    }
    for (size_t j = 0; j < 2 * limbs; j++)
        out[j] = z[j];
}

/* Sum of a[i] * a[k - i] over 0 <= i, k - i < limbs: each pair once and doubled. */
static inline wide square_column(const uint64_t *a, size_t k, size_t limbs) {
    const size_t first = k < limbs ? 0 : k - limbs + 1;
    wide sum = 2 * column(a, a, k, first, (k + 1) / 2);

    if (k % 2 == 0 && k / 2 < limbs)
        sum += (wide)a[k / 2] * a[k / 2];
    return sum;
}

static void square(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *factor) {
    const size_t limbs = modulus->limbs;
    const uint64_t *x0 = factor, *x1 = factor + limbs, *n = modulus->n;
    uint64_t *first = scratch, *second = scratch + limbs, *z = scratch + 2 * limbs;
    wide low = 0, high = 0;

    for (size_t k = 0; k < limbs; k++) {
        low += square_column(x0, k, limbs) + column(first, n, k, 0, k);
        first[k] = clear_column(modulus, &low);
        high += 2 * column(x0, x1, k, 0, k + 1) + column(second, n, k, 0, k);
        high += modulus->lift[k] + (first[k] ^ LIMB_MASK);
        second[k] = clear_column(modulus, &high);
    }
    for (size_t k = limbs; k < 2 * limbs; k++) {
        const size_t start = k - limbs + 1;
        low += square_column(x0, k, limbs) + column(first, n, k, start, limbs);
        z[k - limbs] = (uint64_t)low & LIMB_MASK;
        low >>= LIMB_BITS;
        high += 2 * column(x0, x1, k, start, limbs) + column(second, n, k, start, limbs);
        z[k] = (uint64_t)high & LIMB_MASK;
        high >>= LIMB_BITS;
    }
    for (size_t j = 0; j < 2 * limbs; j++)
        out[j] = z[j];
}

/* quotients[L] <- floor(a * b / R), or a little less: the columns below L - 2 are left out. */
static void high_quotient(uint64_t *quotients, const uint64_t *a, const uint64_t *b, size_t limbs) {
    wide sum = 0;

    for (size_t k = limbs - 2; k < 2 * limbs; k++) {
        sum += column(a, b, k, k < limbs ? 0 : k - limbs + 1, k < limbs ? k + 1 : limbs);
        if (k >= limbs)
            quotients[k - limbs] = (uint64_t)sum & LIMB_MASK;
        sum >>= LIMB_BITS;
    }
}

static void advance(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *state, const uint64_t *factor) {
    const size_t limbs = modulus->limbs;
    const uint64_t *right = factor, *shifted = factor + limbs, *share = shifted + limbs, *negative = modulus->negative;
    uint64_t *first = scratch, *second = first + limbs, *z = second + limbs, *w = state + limbs, *sum = w + limbs;
    wide low = 0, high = 0;
    uint64_t carry = 0;

    high_quotient(first, state, shifted, limbs);
    high_quotient(second, w, shifted, limbs);
    for (size_t k = 0; k < limbs; k++) {
        low += column(state, right, k, 0, k + 1) + column(first, negative, k, 0, k + 1);
        z[k] = (uint64_t)low & LIMB_MASK;
        low >>= LIMB_BITS;
        high += column(w, right, k, 0, k + 1) + column(second, negative, k, 0, k + 1);
        high += first[k] + modulus->n[k];
        z[limbs + k] = (uint64_t)high & LIMB_MASK;
        high >>= LIMB_BITS;
    }
    for (size_t j = 0; j < 2 * limbs; j++)
        state[j] = z[j];
    for (size_t j = 0; j < limbs; j++) {
        carry += sum[j] + share[j];
        sum[j] = carry & LIMB_MASK;
        carry >>= LIMB_BITS;
    }
}

static void multiply_add(uint64_t *scratch, uint64_t *out, const uint64_t *factor, size_t factor_limbs,
                         const uint64_t *constant, size_t constant_limbs, const uint64_t *addend,
                         size_t addend_limbs) {
    wide sum = 0;

    (void)scratch;
    for (size_t k = 0; k < factor_limbs + constant_limbs; k++) {
        const size_t first = k < constant_limbs ? 0 : k - constant_limbs + 1;
        sum += column(factor, constant, k, first, k < factor_limbs ? k + 1 : factor_limbs);
        sum += k < addend_limbs ? addend[k] : 0;
        out[k] = (uint64_t)sum & LIMB_MASK;
        sum >>= LIMB_BITS;
    }
}

/* --- tables: one entry after the other -------------------------------------------------------------------------- */

static void put(uint64_t *row, size_t limbs, unsigned window_bits, size_t entry, const uint64_t *number, size_t lane) {
    (void)window_bits, (void)lane;
    for (size_t j = 0; j < limbs; j++)
        row[entry * limbs + j] = number[j];
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

static void pick(uint64_t *out, const uint64_t *row, size_t limbs, unsigned window_bits, const uint32_t *digits) {
    scan(out, row, limbs, (size_t)1 << window_bits, digits[0]);
}

const struct dcsfl_bigint_kernels dcsfl_bigint_portable = {
    LIMB_BITS, 1, multiply, square, advance, multiply_add, put, pick, scan,
};
