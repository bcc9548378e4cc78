/* Uniform residues with AVX-512: words eight at a time, compressed in registers. Needs DCSFL_CPU_AVX512_IFMA. */
#include <immintrin.h>

#include "kernels.h"
#include "uniform.h"

size_t dcsfl_uniform_filter_avx512ifma_var(uint64_t *out, const uint8_t *words, size_t count) {
    const __m512i low_bits = _mm512_set1_epi64((int64_t)DCSFL_UNIFORM_MASK);
    const __m512i q = _mm512_set1_epi64((int64_t)DCSFL_Q);
    size_t at = 0, kept = 0;

    for (; count - at >= 8; at += 8) {
        const __m512i cut = _mm512_and_si512(_mm512_loadu_si512(words + 8 * at), low_bits);
        const __mmask8 is_residue = _mm512_cmplt_epu64_mask(cut, q);

        /* The whole register, as kept + 8 <= count: compressing into memory takes Zen 4 a hundred cycles. */
        _mm512_storeu_si512(out + kept, _mm512_maskz_compress_epi64(is_residue, cut));
        kept += (size_t)__builtin_popcount(is_residue);
    }
    return kept + dcsfl_uniform_filter_var(out + kept, words + 8 * at, count - at);
}

void dcsfl_uniform_avx512ifma_var(uint64_t *out, size_t count, const struct dcsfl_stream *stream) {
    dcsfl_uniform_fill_var(dcsfl_chacha20_avx512ifma, dcsfl_uniform_filter_avx512ifma_var, out, count, stream);
}
