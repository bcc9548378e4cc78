/*
 * Targets: named rows of kernels, one per instruction set, ordered from the one that runs everywhere to
 * the fastest. A caller picks a row once and calls through it; nothing below the row asks again.
 *
 * The row for a new instruction set is one line in dispatch.c.
 */
#ifndef DCSFL_DISPATCH_H
#define DCSFL_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

#include "bigint/bigint.h"
#include "checksum/checksum.h"
#include "codec/codec.h"
#include "pack/coefficients.h"
#include "pack/pack.h"
#include "ring/ring.h"
#include "sample/sample.h"

struct dcsfl_target {
    const char *name;
    uint32_t required_features; /* OR of DCSFL_CPU_* */
    int is_built;               /* 0: known by name, not compiled into this build; the kernels are NULL */
    const struct dcsfl_pack_kernels *pack;
    const struct dcsfl_sample_kernels *sample;
    const struct dcsfl_ring_kernels *ring;
    const struct dcsfl_coefficient_kernels *coefficients;
    const struct dcsfl_codec_kernels *codec;
    const struct dcsfl_checksum_kernels *checksum;
    const struct dcsfl_bigint_kernels *bigint;
};

/* Every known target, slowest first; *count is set to their number. Static storage. */
const struct dcsfl_target *dcsfl_targets(size_t *count);

/* 1 if `target` is compiled in and `features` (from dcsfl_cpu_features) cover what it requires, else 0. */
int dcsfl_target_runs(const struct dcsfl_target *target, uint32_t features);

/* The target of that name, runnable or not; NULL if there is none. */
const struct dcsfl_target *dcsfl_target_find(const char *name);

/*
 * The fastest target that runs with `features` and is not faster than `cap`; without a cap if `cap` is
 * NULL. Never NULL: the first row, portable, always runs.
 */
const struct dcsfl_target *dcsfl_target_select(const struct dcsfl_target *cap, uint32_t features);

#endif
