/* cover, uncover and reduce in plain C11. */
#include "scale.h"

void dcsfl_ring_cover_portable(const struct dcsfl_ring_scale *scale, uint64_t *out, size_t count,
                               const uint64_t *mask, const int8_t *errors, const uint64_t *words) {
    const struct dcsfl_ring_steps steps = dcsfl_ring_steps(scale->plaintext_bits, scale->dropped_bits);

    for (size_t i = 0; i < count; i++)
        out[i] = dcsfl_ring_cover_one(&steps, mask[i], errors[i], words[i]);
}

void dcsfl_ring_uncover_portable(const struct dcsfl_ring_scale *scale, uint64_t *out, size_t count,
                                 const uint64_t *mask, const uint64_t *sums) {
    const struct dcsfl_ring_steps steps = dcsfl_ring_steps(scale->plaintext_bits, scale->dropped_bits);

    for (size_t i = 0; i < count; i++)
        out[i] = dcsfl_ring_uncover_one(&steps, mask[i], sums[i]);
}

void dcsfl_ring_reduce_portable(unsigned dropped_bits, uint64_t *words, size_t count) {
    const struct dcsfl_ring_steps steps = dcsfl_ring_steps(0, dropped_bits);

    for (size_t i = 0; i < count; i++)
        words[i] = dcsfl_ring_reduce_one(&steps, words[i]);
}
