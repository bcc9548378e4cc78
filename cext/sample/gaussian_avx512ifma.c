/*
 * Alias look-ups with AVX-512: a group's slice and a table's slice are a register each. Needs DCSFL_CPU_AVX512_IFMA,
 * which includes VBMI: vpermb looks up 64 bytes at once.
 */
#include <immintrin.h>

#include "gaussian.h"
#include "kernels.h"

void dcsfl_gaussian_avx512ifma(const struct dcsfl_gaussian_table *table, int8_t *out, size_t groups,
                               const uint8_t *stream) {
    const __m512i alias = _mm512_loadu_si512(table->alias);
    __m512i thresholds[DCSFL_GAUSSIAN_THRESHOLD_SLICES];

    dcsfl_gaussian_verify(table, out, groups, stream);
    for (int s = 0; s < DCSFL_GAUSSIAN_THRESHOLD_SLICES; s++)
        thresholds[s] = _mm512_loadu_si512(table->threshold[s]);
    for (; groups > 0; groups--, stream += DCSFL_GAUSSIAN_GROUP_BYTES, out += DCSFL_GAUSSIAN_GROUP) {
        const __m512i column_bytes = _mm512_loadu_si512(stream);
        const __m512i columns = _mm512_and_si512(column_bytes, _mm512_set1_epi8(DCSFL_GAUSSIAN_COLUMN_MASK));
        const uint32_t shared =
            (uint32_t)_mm512_movepi8_mask(_mm512_slli_epi16(column_bytes, 7 - DCSFL_GAUSSIAN_SHARED_BIT));
        __mmask64 below = 0; /* the comparand is below the threshold, in the slices seen so far */
        __m512i magnitude;

        for (int s = DCSFL_GAUSSIAN_THRESHOLD_SLICES - 1; s >= 0; s--) { /* from the least significant slice */
            const __m512i comparand =
                s < DCSFL_GAUSSIAN_OWN_SLICES
                    ? _mm512_loadu_si512(stream + DCSFL_GAUSSIAN_GROUP * (s + 1))
                    : _mm512_set1_epi8((char)dcsfl_gaussian_shared_byte(shared, s));
            const __m512i threshold = _mm512_permutexvar_epi8(columns, thresholds[s]);
            below = _mm512_cmplt_epu8_mask(comparand, threshold) |
                    _mm512_mask_cmpeq_epi8_mask(below, comparand, threshold);
        }
        magnitude = _mm512_mask_blend_epi8(below, _mm512_permutexvar_epi8(columns, alias), columns);
        _mm512_storeu_si512(out, _mm512_mask_sub_epi8(magnitude, _mm512_movepi8_mask(column_bytes),
                                                      _mm512_setzero_si512(), magnitude));
    }
}
