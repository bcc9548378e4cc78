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
    _Alignas(64) uint64_t covered[DCSFL_RING_MAX_DEGREE];
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

int dcsfl_rlwe_encrypt(const struct dcsfl_target *target, const struct dcsfl_rlwe_masks *masks,
                       const struct dcsfl_ring_scale *scale, const struct dcsfl_stream *errors, uint8_t *out,
                       const uint64_t *words, size_t count) {
    const size_t degree = dcsfl_ring_degree(masks->ring);
    const unsigned width = DCSFL_Q_BITS - scale->dropped_bits;
    const uint64_t word_limit = UINT64_C(1) << scale->plaintext_bits;
    struct dcsfl_stream stream = *errors;
    struct workspace *space = open_workspace(target, masks);
    int found = 0; /* words are secret: what is found of them is gathered without a branch */

    if (space == NULL)
        return -1;
    DCSFL_VERIFY(degree % DCSFL_GAUSSIAN_GROUP == 0);
    for (size_t done = 0; done < count; done += degree, stream.index++) {
        const size_t take = count - done < degree ? count - done : degree;
        if (!target->ring->are_below(masks->polynomials + done, degree, DCSFL_Q)) {
            found |= DCSFL_RLWE_BAD_POLYNOMIALS;
            break;
        }
        found |= DCSFL_RLWE_BAD_WORDS & -!target->ring->are_below(words + done, take, word_limit);
        target->ring->multiply(masks->ring, space->mask, masks->polynomials + done, &space->factor);
        dcsfl_sample_gaussian(target->sample, &dcsfl_gaussian_wide, space->errors, degree / DCSFL_GAUSSIAN_GROUP,
                              &stream);
        target->ring->cover(scale, space->covered, take, space->mask, space->errors, words + done);
        /* N is a multiple of 8, so every polynomial but the last fills whole bytes; all coefficients fit their width. */
        (void)target->coefficients->pack(out + dcsfl_coefficient_bytes(done, width), space->covered, take, width);
    }
    close_workspace(space);
    return found;
}

int dcsfl_rlwe_decrypt(const struct dcsfl_target *target, const struct dcsfl_rlwe_masks *masks,
                       const struct dcsfl_ring_scale *scale, uint64_t *out, const uint64_t *sums, size_t count) {
    const size_t degree = dcsfl_ring_degree(masks->ring);
    struct workspace *space = open_workspace(target, masks);
    int found = 0;

    if (space == NULL)
        return -1;
    for (size_t done = 0; done < count; done += degree) {
        const size_t take = count - done < degree ? count - done : degree;
        target->ring->multiply(masks->ring, space->mask, masks->polynomials + done, &space->factor);
        if (!target->ring->are_below(masks->polynomials + done, degree, DCSFL_Q)) {
            found = DCSFL_RLWE_BAD_POLYNOMIALS;
            break;
        }
        target->ring->uncover(scale, out + done, take, space->mask, sums + done);
    }
    close_workspace(space);
    return found;
}
