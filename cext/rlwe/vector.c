#include "vector.h"

#include <stdlib.h>

#include "../pack/coefficients.h"
#include "../sample/gaussian.h"
#include "../verify.h"
#include "../wipe.h"

/* What one polynomial needs besides its input and output. Secret: wiped before it is freed. */
struct workspace {
    struct dcsfl_ring_factor factor;
    _Alignas(64) uint64_t mask[DCSFL_RING_MAX_DEGREE];
    _Alignas(64) uint64_t words[DCSFL_RING_MAX_DEGREE]; /* then what covers them */
    _Alignas(64) int8_t errors[DCSFL_RING_MAX_DEGREE];
};

static struct workspace *open_workspace(const struct dcsfl_target *target, const struct dcsfl_rlwe_masks *masks) {
    struct workspace *space = aligned_alloc(64, sizeof *space);

    if (space != NULL)
        target->ring->prepare(masks->ring, &space->factor, masks->factor);
    return space;
}

static void close_workspace(struct workspace *space) {
    dcsfl_wipe(space, sizeof *space);
    free(space);
}

static struct dcsfl_ring_scale scale_of(const struct dcsfl_rlwe_layout *layout) {
    const struct dcsfl_ring_scale scale = {layout->words.field_bits * (unsigned)layout->words.fields_per_word,
                                           layout->dropped_bits};

    DCSFL_VERIFY(dcsfl_pack_layout_is_valid(&layout->words) && layout->words.word_bytes == sizeof(uint64_t));
    return scale;
}

/* Of `count` things, those from `done` on that lie in the polynomial there, `room` at most. */
static size_t taken(size_t count, size_t done, size_t room) {
    return count - done < room ? count - done : room;
}

/*
 * space->mask <- the polynomial at `done` times the factor; returns 0 if it holds a value of q or more, for which it is
 * searched afterwards, when it is in the cache.
 */
static int make_mask(const struct dcsfl_target *target, const struct dcsfl_rlwe_masks *masks, struct workspace *space,
                     size_t done) {
    const uint64_t *polynomial = masks->polynomials + done;

    target->ring->multiply(masks->ring, space->mask, polynomial, &space->factor);
    return target->ring->are_below(polynomial, dcsfl_ring_degree(masks->ring), DCSFL_Q);
}

int dcsfl_rlwe_encrypt(const struct dcsfl_target *target, const struct dcsfl_rlwe_masks *masks,
                       const struct dcsfl_rlwe_layout *layout, const struct dcsfl_stream *errors, uint8_t *out,
                       const uint32_t *fields, size_t count) {
    const struct dcsfl_ring_scale scale = scale_of(layout);
    const size_t degree = dcsfl_ring_degree(masks->ring), coefficients = dcsfl_pack_word_count(&layout->words, count);
    const size_t fields_at_once = degree * layout->words.fields_per_word;
    const unsigned width = DCSFL_Q_BITS - scale.dropped_bits;
    struct dcsfl_stream stream = *errors;
    struct workspace *space = open_workspace(target, masks);
    int found = 0; /* fields are secret: what is found of them is gathered without a branch */

    if (space == NULL)
        return -1;
    DCSFL_VERIFY(degree % DCSFL_GAUSSIAN_GROUP == 0);
    for (size_t done = 0; done < coefficients; done += degree, fields += fields_at_once, stream.index++) {
        const size_t take = taken(coefficients, done, degree);
        const size_t take_fields = taken(count, done * layout->words.fields_per_word, fields_at_once);
        if (!make_mask(target, masks, space, done)) {
            found |= DCSFL_RLWE_BAD_POLYNOMIALS;
            break;
        }
        found |= DCSFL_RLWE_BAD_FIELDS & -target->pack->pack(&layout->words, (uint8_t *)space->words,
                                                             take * sizeof *space->words, fields, take_fields);
        dcsfl_sample_gaussian(target->sample, &dcsfl_gaussian_wide, space->errors, degree / DCSFL_GAUSSIAN_GROUP,
                              &stream);
        target->ring->cover(&scale, space->words, take, space->mask, space->errors, space->words);
        /* N is a multiple of 8, so every polynomial but the last fills whole bytes; all coefficients fit their width. */
        (void)target->coefficients->pack(out + dcsfl_coefficient_bytes(done, width), space->words, take, width);
    }
    close_workspace(space);
    return found;
}

int dcsfl_rlwe_decrypt(const struct dcsfl_target *target, const struct dcsfl_rlwe_masks *masks,
                       const struct dcsfl_rlwe_layout *layout, uint32_t *out, const uint64_t *sums, size_t count) {
    const struct dcsfl_ring_scale scale = scale_of(layout);
    const size_t degree = dcsfl_ring_degree(masks->ring), coefficients = dcsfl_pack_word_count(&layout->words, count);
    const size_t fields_at_once = degree * layout->words.fields_per_word;
    struct workspace *space = open_workspace(target, masks);
    int found = 0;

    if (space == NULL)
        return -1;
    for (size_t done = 0; done < coefficients; done += degree, out += fields_at_once) {
        const size_t take = taken(coefficients, done, degree);
        const size_t take_fields = taken(count, done * layout->words.fields_per_word, fields_at_once);
        if (!make_mask(target, masks, space, done)) {
            found = DCSFL_RLWE_BAD_POLYNOMIALS;
            break;
        }
        target->ring->uncover(&scale, space->words, take, space->mask, sums + done);
        target->pack->unpack(&layout->words, out, take_fields, (const uint8_t *)space->words,
                             take * sizeof *space->words);
    }
    close_workspace(space);
    return found;
}
