/* The kernels by name, for the files that make up a target's row; callers go through the rows of sample.h. */
#ifndef DCSFL_SAMPLE_KERNELS_H
#define DCSFL_SAMPLE_KERNELS_H

#include "sample.h"

dcsfl_chacha20_fn dcsfl_chacha20_portable, dcsfl_chacha20_avx2, dcsfl_chacha20_avx512ifma;
dcsfl_gaussian_fn dcsfl_gaussian_portable, dcsfl_gaussian_avx2, dcsfl_gaussian_avx512ifma;
dcsfl_uniform_fn_var dcsfl_uniform_portable_var, dcsfl_uniform_avx2_var, dcsfl_uniform_avx512ifma_var;

#endif
