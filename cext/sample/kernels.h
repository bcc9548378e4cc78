/* The kernels by name, for the files that make up a target's row and for tests; callers go through sample.h. */
#ifndef DCSFL_SAMPLE_KERNELS_H
#define DCSFL_SAMPLE_KERNELS_H

#include "sample.h"

/*
 * Write the residues among the `count` words at `words` to `out`, in order; returns how many. There is room for
 * `count`, and what lies between the residues and the end of that room may be overwritten.
 */
typedef size_t dcsfl_uniform_filter_fn_var(uint64_t *out, const uint8_t *words, size_t count);

dcsfl_chacha20_fn dcsfl_chacha20_portable, dcsfl_chacha20_avx2, dcsfl_chacha20_avx512ifma;
dcsfl_gaussian_fn dcsfl_gaussian_portable, dcsfl_gaussian_avx2, dcsfl_gaussian_avx512ifma;
dcsfl_uniform_fn_var dcsfl_uniform_portable_var, dcsfl_uniform_avx2_var, dcsfl_uniform_avx512ifma_var;
dcsfl_uniform_filter_fn_var dcsfl_uniform_filter_portable_var, dcsfl_uniform_filter_avx2_var,
    dcsfl_uniform_filter_avx512ifma_var;

#endif
