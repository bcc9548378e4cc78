/*
 * Ciphertext coefficients in plain C11: groups of eight, each `width` whole bytes. A loop over groups is compiled for
 * every width, because shifts by constants take a third of the time of shifts by variables here.
 */
#include "coefficient_stream.h"
#include "coefficients.h"

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* Every width that has groups, as calls of a macro. */
#define EIGHT_WIDTHS(CALL, w) \
    CALL((w)) CALL((w) + 1) CALL((w) + 2) CALL((w) + 3) CALL((w) + 4) CALL((w) + 5) CALL((w) + 6) CALL((w) + 7)
#define EVERY_WIDTH(CALL)                                                                                   \
    EIGHT_WIDTHS(CALL, 1) EIGHT_WIDTHS(CALL, 9) EIGHT_WIDTHS(CALL, 17) EIGHT_WIDTHS(CALL, 25)               \
    EIGHT_WIDTHS(CALL, 33) EIGHT_WIDTHS(CALL, 41) EIGHT_WIDTHS(CALL, 49)

/* The byte that the last coefficient of a group starts in. */
static unsigned last_byte(unsigned width) {
    return 7 * width / 8;
}

/* --- pack ---------------------------------------------------------------------------------------- */

/*
 * Each coefficient is stored as the 8 bytes from its first one on, with the end of the one before it below; the next
 * store overwrites what lies past it. No store waits for another. Returns the OR of the words.
 */
INLINE uint64_t pack_groups_of(unsigned width, uint8_t *out, const uint64_t *words, size_t groups) {
    uint64_t seen = 0;

    for (size_t g = 0; g < groups; g++, out += width, words += 8) {
        seen |= words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7];
        dcsfl_store_le64(out, words[0]);
        for (unsigned i = 1; i < 8; i++) {
            const unsigned bit = i * width;
            dcsfl_store_le64(out + bit / 8, words[i] << bit % 8 | words[i - 1] >> (width - bit % 8));
        }
    }
    return seen;
}

static uint64_t pack_groups(uint8_t *out, const uint64_t *words, size_t groups, unsigned width) {
    switch (width) {
#define CASE(w) \
    case (w):   \
        return pack_groups_of((w), out, words, groups);
        EVERY_WIDTH(CASE)
#undef CASE
    default:
        return 0;
    }
}

static int pack(uint8_t *out, const uint64_t *words, size_t count, unsigned width) {
    size_t groups = 0;
    uint64_t seen;

    dcsfl_coefficients_verify(words, count, out, width);
    if (count == 0)
        return 0;
    if (width >= DCSFL_COEFFICIENT_MIN_GROUP_WIDTH)
        groups = dcsfl_coefficient_groups(count, width, last_byte(width), DCSFL_COEFFICIENT_REACH_BYTES);
    seen = pack_groups(out, words, groups, width);
    seen |= dcsfl_pack_coefficient_stream(out + groups * width, words + 8 * groups, count - 8 * groups, width);
    return (seen & dcsfl_coefficient_excess_mask(width)) != 0;
}

/* --- unpack -------------------------------------------------------------------------------------- */

/* Returns the first group that holds a coefficient of `limit` or more, and is filled then, or `groups`. */
INLINE size_t unpack_groups_of(unsigned width, uint64_t *out, const uint8_t *in, size_t groups, uint64_t limit) {
    const uint64_t kept = ~dcsfl_coefficient_excess_mask(width);

    for (size_t g = 0; g < groups; g++, in += width, out += 8) {
        uint64_t borrows = 0; /* bit 63: some coefficient is limit or more */
        for (unsigned i = 0; i < 8; i++) {
            const unsigned bit = i * width;
            out[i] = dcsfl_load_le64(in + bit / 8) >> bit % 8 & kept;
            borrows |= limit - 1 - out[i];
        }
        if (borrows >> 63 != 0)
            return g;
    }
    return groups;
}

static size_t unpack_groups(uint64_t *out, const uint8_t *in, size_t groups, unsigned width, uint64_t limit) {
    switch (width) {
#define CASE(w) \
    case (w):   \
        return unpack_groups_of((w), out, in, groups, limit);
        EVERY_WIDTH(CASE)
#undef CASE
    default:
        return 0;
    }
}

static size_t unpack(uint64_t *out, const uint8_t *in, size_t count, unsigned width, uint64_t limit) {
    size_t groups, good;

    dcsfl_coefficients_verify(out, count, in, width);
    DCSFL_VERIFY(limit >= 1 && limit - 1 <= ~dcsfl_coefficient_excess_mask(width));
    if (count == 0)
        return 0;
    groups = dcsfl_coefficient_groups(count, width, last_byte(width), DCSFL_COEFFICIENT_REACH_BYTES);
    good = unpack_groups(out, in, groups, width, limit);
    if (good < groups)
        return 8 * good + dcsfl_first_at_or_above(out + 8 * good, 8, limit);
    dcsfl_unpack_coefficient_stream(out + 8 * groups, in + groups * width, count - 8 * groups, width);
    return 8 * groups + dcsfl_first_at_or_above(out + 8 * groups, count - 8 * groups, limit);
}

const struct dcsfl_coefficient_kernels dcsfl_coefficients_portable = {pack, unpack};
