/*
 * Products mod n^2 in plain C11, one number at a time: columns of 59-bit limbs in 128-bit sums (at most 1,024 products
 * fit one; a column of z1 has 3 L <= 420), or of 26-bit limbs in 64-bit sums where the compiler has no 128-bit integer.
 */
#include <stdint.h>

#define LANES 1
#define TILE 4
#define CARRY_EVERY 0

typedef uint64_t limb;
#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 sum;
#define LIMB_BITS 59
#define MAX_LIMBS 140
#else
typedef uint64_t sum;
#define LIMB_BITS 26
#define MAX_LIMBS 316
#endif

static inline limb limb_set(uint64_t value) {
    return value;
}

static inline limb limb_add(limb a, limb b) {
    return a + b;
}

static inline limb limb_complement(limb a) {
    return a ^ ((UINT64_C(1) << LIMB_BITS) - 1);
}

static inline sum sum_zero(void) {
    return 0;
}

static inline sum sum_from(limb value) {
    return value;
}

static inline sum sum_add(sum a, sum b) {
    return a + b;
}

static inline sum sum_add_product(sum s, limb a, limb b) {
    return s + (sum)a * b;
}

static inline limb sum_limb(sum s) {
    return (limb)s & ((UINT64_C(1) << LIMB_BITS) - 1);
}

static inline sum sum_carry(sum s) {
    return s >> LIMB_BITS;
}

static inline limb sum_quotient(sum s, limb inverse) {
    return ((limb)s * inverse) & ((UINT64_C(1) << LIMB_BITS) - 1);
}

#include "lanes_columns.h"

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
    LIMB_BITS, 1, PICKS, sizeof(uint64_t), 200, multiply, square, multiply_residues, advance, multiply_add,
    put, pick, scan,
};
