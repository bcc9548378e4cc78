/* Uniform residues with AVX2: words four at a time, where none of the four is left out. Needs DCSFL_CPU_AVX2. */
#include <immintrin.h>

#include "kernels.h"
#include "uniform.h"

size_t dcsfl_uniform_filter_avx2_var(uint64_t *out, const uint8_t *words, size_t count) {
    const __m256i low_bits = _mm256_set1_epi64x((int64_t)DCSFL_UNIFORM_MASK);
    const __m256i largest = _mm256_set1_epi64x((int64_t)(DCSFL_Q - 1));
    size_t at = 0, kept = 0;

    for (; count - at >= 4; at += 4) {
        const __m256i loaded = _mm256_loadu_si256((const __m256i *)(const void *)(words + 8 * at));
        const __m256i cut = _mm256_and_si256(loaded, low_bits);
        const __m256i too_large = _mm256_cmpgt_epi64(cut, largest); /* signed, but both are below 2^63 */

        if (_mm256_testz_si256(too_large, too_large)) { /* 15 times in 16 */
            _mm256_storeu_si256((__m256i *)(void *)(out + kept), cut);
            kept += 4;
        } else {
            kept += dcsfl_uniform_filter_var(out + kept, words + 8 * at, 4);
        }
    }
    return kept + dcsfl_uniform_filter_var(out + kept, words + 8 * at, count - at);
}

void dcsfl_uniform_avx2_var(uint64_t *out, size_t count, const struct dcsfl_stream *stream) {
    dcsfl_uniform_fill_var(dcsfl_chacha20_avx2, dcsfl_uniform_filter_avx2_var, out, count, stream);
}
