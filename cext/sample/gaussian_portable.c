/*
 * Alias look-ups in plain C: a scan over all 64 columns that keeps each lane's own entry by a mask, so that no
 * address depends on a column. Samples lie side by side, and every loop over them has a fixed trip count and no other
 * loop inside, which compilers turn into vector instructions.
 */
#include <string.h>

#include "../wipe.h"
#include "gaussian.h"
#include "kernels.h"

enum {
    GROUP = DCSFL_GAUSSIAN_GROUP,
    LANES = 16, /* samples that are scanned for at once: their nine running results then fit the registers */
    ENTRY_SLICES = 1 + DCSFL_GAUSSIAN_THRESHOLD_SLICES,
    SHARED_SLICES = DCSFL_GAUSSIAN_THRESHOLD_SLICES - DCSFL_GAUSSIAN_OWN_SLICES,
};

/* A column's number, alias and threshold bytes, each once for every lane of the scan. */
struct entry {
    uint8_t column[LANES];
    uint8_t slice[ENTRY_SLICES][LANES];
};

static void spread(struct entry entries[DCSFL_GAUSSIAN_COLUMNS], const struct dcsfl_gaussian_table *table) {
    for (int c = 0; c < DCSFL_GAUSSIAN_COLUMNS; c++) {
        memset(entries[c].column, c, LANES);
        memset(entries[c].slice[0], table->alias[c], LANES);
        for (int s = 0; s < DCSFL_GAUSSIAN_THRESHOLD_SLICES; s++)
            memset(entries[c].slice[1 + s], table->threshold[s][c], LANES);
    }
}

/* found[s][0..LANES) <- slice s of the entries of columns[0..LANES). */
static void look_up(uint8_t found[restrict ENTRY_SLICES][GROUP], const struct entry *restrict entries,
                    const uint8_t *restrict columns) {
    uint8_t own[LANES], f0[LANES] = {0}, f1[LANES] = {0}, f2[LANES] = {0}, f3[LANES] = {0}, f4[LANES] = {0};
    uint8_t f5[LANES] = {0}, f6[LANES] = {0}, f7[LANES] = {0}, f8[LANES] = {0};

    memcpy(own, columns, LANES);
    for (int c = 0; c < DCSFL_GAUSSIAN_COLUMNS; c++) {
        const struct entry *entry = &entries[c];
        for (int l = 0; l < LANES; l++) {
            const uint8_t here = (uint8_t)-(own[l] == entry->column[l]);
            f0[l] |= here & entry->slice[0][l];
            f1[l] |= here & entry->slice[1][l];
            f2[l] |= here & entry->slice[2][l];
            f3[l] |= here & entry->slice[3][l];
            f4[l] |= here & entry->slice[4][l];
            f5[l] |= here & entry->slice[5][l];
            f6[l] |= here & entry->slice[6][l];
            f7[l] |= here & entry->slice[7][l];
            f8[l] |= here & entry->slice[8][l];
        }
    }
    memcpy(found[0], f0, LANES);
    memcpy(found[1], f1, LANES);
    memcpy(found[2], f2, LANES);
    memcpy(found[3], f3, LANES);
    memcpy(found[4], f4, LANES);
    memcpy(found[5], f5, LANES);
    memcpy(found[6], f6, LANES);
    memcpy(found[7], f7, LANES);
    memcpy(found[8], f8, LANES);
}

/* What tells of a group's samples, in one place so that it can be wiped at once. */
struct group {
    uint32_t shared;
    uint8_t columns[GROUP];
    uint8_t comparands[GROUP]; /* a byte of the shared bits for every sample */
    uint8_t found[ENTRY_SLICES][GROUP];
    uint8_t below[GROUP]; /* all ones: the comparand is below the threshold, in the slices seen so far */
};

/* below[l] <- whether the comparand is below the threshold, given `below` for the less significant slices. */
static void compare(uint8_t *restrict below, const uint8_t *restrict comparands, const uint8_t *restrict thresholds) {
    for (int l = 0; l < GROUP; l++) {
        const uint8_t less = (uint8_t)-(comparands[l] < thresholds[l]);
        const uint8_t equal = (uint8_t)-(comparands[l] == thresholds[l]);
        below[l] = less | (equal & below[l]);
    }
}

/* The group's shared bits, the low bits of all its comparands. */
static uint32_t shared_bits(const uint8_t *stream) {
    uint32_t shared = 0;

    for (int i = 0; i < 8 * SHARED_SLICES; i++)
        shared |= (uint32_t)(stream[i] >> DCSFL_GAUSSIAN_SHARED_BIT & 1) << i;
    return shared;
}

/* out[0..GROUP) <- the samples of one group's stream. */
static void sample_group(struct group *restrict group, const struct entry entries[DCSFL_GAUSSIAN_COLUMNS],
                         int8_t *restrict out, const uint8_t *restrict stream) {
    uint8_t *columns = group->columns, *below = group->below;
    uint8_t(*found)[GROUP] = group->found;

    memset(below, 0, GROUP);
    for (int l = 0; l < GROUP; l++)
        columns[l] = stream[l] & DCSFL_GAUSSIAN_COLUMN_MASK;
    for (int l = 0; l < GROUP; l += LANES)
        look_up((uint8_t(*)[GROUP])(found[0] + l), entries, columns + l);
    group->shared = shared_bits(stream);
    for (int s = DCSFL_GAUSSIAN_THRESHOLD_SLICES; s > DCSFL_GAUSSIAN_OWN_SLICES; s--) {
        memset(group->comparands, dcsfl_gaussian_shared_byte(group->shared, s - 1), GROUP);
        compare(below, group->comparands, found[s]);
    }
    for (int s = DCSFL_GAUSSIAN_OWN_SLICES; s > 0; s--)
        compare(below, stream + GROUP * s, found[s]);
    for (int l = 0; l < GROUP; l++) {
        const uint8_t magnitude = found[0][l] ^ (below[l] & (found[0][l] ^ columns[l]));
        const uint8_t negative = (uint8_t)-(stream[l] >> 7);
        out[l] = (int8_t)((magnitude ^ negative) - negative);
    }
}

void dcsfl_gaussian_portable(const struct dcsfl_gaussian_table *table, int8_t *out, size_t groups,
                             const uint8_t *stream) {
    struct entry entries[DCSFL_GAUSSIAN_COLUMNS];
    struct group group;

    dcsfl_gaussian_verify(table, out, groups, stream);
    spread(entries, table);
    for (; groups > 0; groups--, stream += DCSFL_GAUSSIAN_GROUP_BYTES, out += DCSFL_GAUSSIAN_GROUP)
        sample_group(&group, entries, out, stream);
    dcsfl_wipe(&group, sizeof group);
}
