/* The samplers' rows, one per target. */
#include "kernels.h"

const struct dcsfl_sample_kernels dcsfl_sample_portable = {
    dcsfl_chacha20_portable,
    dcsfl_gaussian_portable,
    dcsfl_uniform_portable_var,
};

#ifdef DCSFL_HAVE_AVX2
const struct dcsfl_sample_kernels dcsfl_sample_avx2 = {
    dcsfl_chacha20_avx2,
    dcsfl_gaussian_avx2,
    dcsfl_uniform_avx2_var,
};
#endif

#ifdef DCSFL_HAVE_AVX512_IFMA
const struct dcsfl_sample_kernels dcsfl_sample_avx512ifma = {
    dcsfl_chacha20_avx512ifma,
    dcsfl_gaussian_avx512ifma,
    dcsfl_uniform_avx512ifma_var,
};
#endif
