/* Uniform residues in plain C. */
#include "kernels.h"
#include "uniform.h"

size_t dcsfl_uniform_filter_portable_var(uint64_t *out, const uint8_t *words, size_t count) {
    return dcsfl_uniform_filter_var(out, words, count);
}

void dcsfl_uniform_portable_var(uint64_t *out, size_t count, const struct dcsfl_stream *stream) {
    dcsfl_uniform_fill_var(dcsfl_chacha20_portable, dcsfl_uniform_filter_portable_var, out, count, stream);
}
