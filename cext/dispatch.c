#include "dispatch.h"

#include <string.h>

#include "cpu.h"

/* Names stay in the table where their code is not built, so a cap written for one machine is valid on all. */
static const struct dcsfl_target targets[] = {
    {
        .name = "portable",
        .required_features = 0,
        .is_built = 1,
        .pack = &dcsfl_pack_portable,
        .sample = &dcsfl_sample_portable,
        .ring = &dcsfl_ring_portable,
        .coefficients = &dcsfl_coefficients_portable,
        .codec = &dcsfl_codec_portable,
        .checksum = &dcsfl_checksum_portable,
#ifdef __SSE2__
        .bigint = &dcsfl_bigint_sse2, /* part of x86-64 */
#else
        .bigint = &dcsfl_bigint_words,
#endif
    },
    {
        .name = "avx2",
        .required_features = DCSFL_CPU_AVX2,
#ifdef DCSFL_HAVE_AVX2
        .is_built = 1,
        .pack = &dcsfl_pack_avx2,
        .sample = &dcsfl_sample_avx2,
        .ring = &dcsfl_ring_avx2,
        .coefficients = &dcsfl_coefficients_avx2,
        .codec = &dcsfl_codec_avx2,
        .checksum = &dcsfl_checksum_portable, /* 0.5 ms a million fields; vectors have no product of 64 bits */
        .bigint = &dcsfl_bigint_avx2,
#endif
    },
    {
        .name = "avx512ifma",
        .required_features = DCSFL_CPU_AVX2 | DCSFL_CPU_AVX512_IFMA,
#ifdef DCSFL_HAVE_AVX512_IFMA
        .is_built = 1,
        .pack = &dcsfl_pack_avx2, /* 0.1 ms a million fields: wider registers would gain nothing that shows */
        .sample = &dcsfl_sample_avx512ifma,
        .ring = &dcsfl_ring_avx512ifma,
        .coefficients = &dcsfl_coefficients_avx512ifma,
        .codec = &dcsfl_codec_avx512ifma,
        .checksum = &dcsfl_checksum_portable,
        .bigint = &dcsfl_bigint_avx512ifma,
#endif
    },
};

static const size_t target_count = sizeof targets / sizeof targets[0];

const struct dcsfl_target *dcsfl_targets(size_t *count) {
    *count = target_count;
    return targets;
}

int dcsfl_target_runs(const struct dcsfl_target *target, uint32_t features) {
    return target->is_built && (target->required_features & ~features) == 0;
}

const struct dcsfl_target *dcsfl_target_find(const char *name) {
    for (size_t i = 0; i < target_count; i++)
        if (strcmp(targets[i].name, name) == 0)
            return &targets[i];
    return NULL;
}

const struct dcsfl_target *dcsfl_target_select(const struct dcsfl_target *cap, uint32_t features) {
    const struct dcsfl_target *best = &targets[0];
    const size_t allowed = cap == NULL ? target_count : (size_t)(cap - targets) + 1;

    for (size_t i = 1; i < allowed; i++)
        if (dcsfl_target_runs(&targets[i], features))
            best = &targets[i];
    return best;
}
