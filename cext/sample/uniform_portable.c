/* Uniform residues in plain C. */
#include "kernels.h"
#include "uniform.h"

void dcsfl_uniform_portable_var(uint64_t *out, size_t count, const struct dcsfl_stream *stream) {
    dcsfl_uniform_fill_var(dcsfl_chacha20_portable, dcsfl_uniform_filter_var, out, count, stream);
}
