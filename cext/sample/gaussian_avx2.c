/* Alias look-ups with AVX2: 32 samples in byte lanes, a table slice in four registers. Needs DCSFL_CPU_AVX2. */
#include <immintrin.h>

#include "gaussian.h"
#include "kernels.h"

/* A slice's 64 bytes, 16 in each half of a register. */
struct slice {
    __m256i part[4];
};

/*
 * Index for part p, per byte: pshufb takes the low four bits, and yields 0 where bit 7 is set. A column c of that
 * part gives 0x70 + c - 16 p, a higher one 0x80 or more; a lower one is negative, saturates to 0xff.
 */
struct lookup {
    __m256i index[4];
};

static inline __m256i load256(const uint8_t *in) {
    return _mm256_loadu_si256((const __m256i *)(const void *)in);
}

static inline struct slice load_slice(const uint8_t bytes[DCSFL_GAUSSIAN_COLUMNS]) {
    struct slice slice;

    for (int p = 0; p < 4; p++)
        slice.part[p] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(bytes + 16 * p)));
    return slice;
}

static inline struct lookup make_lookup(__m256i columns) {
    struct lookup lookup;

    for (int p = 0; p < 4; p++)
        lookup.index[p] =
            _mm256_adds_epu8(_mm256_sub_epi8(columns, _mm256_set1_epi8((char)(16 * p))), _mm256_set1_epi8(0x70));
    return lookup;
}

static inline __m256i look_up(const struct slice *slice, const struct lookup *lookup) {
    return _mm256_or_si256(_mm256_or_si256(_mm256_shuffle_epi8(slice->part[0], lookup->index[0]),
                                           _mm256_shuffle_epi8(slice->part[1], lookup->index[1])),
                           _mm256_or_si256(_mm256_shuffle_epi8(slice->part[2], lookup->index[2]),
                                           _mm256_shuffle_epi8(slice->part[3], lookup->index[3])));
}

/* The group's shared bits, of which the low 24 count. */
static inline uint32_t shared_bits(const uint8_t *stream) {
    return (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(load256(stream), 7 - DCSFL_GAUSSIAN_SHARED_BIT));
}

/*
 * 32 samples from column bytes at `stream` and comparand bytes each DCSFL_GAUSSIAN_GROUP further on. `thresholds`
 * have their bytes' top bits flipped, so that signed comparisons, the only ones there are, order them.
 */
static inline __m256i sample_32(const struct slice *alias, const struct slice *thresholds, const uint8_t *stream,
                                uint32_t shared) {
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    const __m256i column_bytes = load256(stream);
    const __m256i columns = _mm256_and_si256(column_bytes, _mm256_set1_epi8(DCSFL_GAUSSIAN_COLUMN_MASK));
    const struct lookup lookup = make_lookup(columns);
    __m256i below = _mm256_setzero_si256(); /* the comparand is below the threshold, in the slices seen so far */
    __m256i magnitude;

    for (int s = DCSFL_GAUSSIAN_THRESHOLD_SLICES - 1; s >= 0; s--) { /* from the least significant slice */
        const __m256i comparand_byte =
            s < DCSFL_GAUSSIAN_OWN_SLICES
                ? load256(stream + DCSFL_GAUSSIAN_GROUP * (s + 1))
                : _mm256_set1_epi8((char)dcsfl_gaussian_shared_byte(shared, s));
        const __m256i comparand = _mm256_xor_si256(comparand_byte, flip);
        const __m256i threshold = look_up(&thresholds[s], &lookup);
        below = _mm256_or_si256(_mm256_cmpgt_epi8(threshold, comparand),
                                _mm256_and_si256(_mm256_cmpeq_epi8(threshold, comparand), below));
    }
    magnitude = _mm256_blendv_epi8(look_up(alias, &lookup), columns, below);
    /* sign_epi8 negates by the sign of its second operand, which must not be 0: that would clear the magnitude. */
    return _mm256_sign_epi8(magnitude, _mm256_or_si256(column_bytes, _mm256_set1_epi8(1)));
}

void dcsfl_gaussian_avx2(const struct dcsfl_gaussian_table *table, int8_t *out, size_t groups,
                         const uint8_t *stream) {
    const struct slice alias = load_slice(table->alias);
    struct slice thresholds[DCSFL_GAUSSIAN_THRESHOLD_SLICES];

    dcsfl_gaussian_verify(table, out, groups, stream);
    for (int s = 0; s < DCSFL_GAUSSIAN_THRESHOLD_SLICES; s++) {
        thresholds[s] = load_slice(table->threshold[s]);
        for (int p = 0; p < 4; p++)
            thresholds[s].part[p] = _mm256_xor_si256(thresholds[s].part[p], _mm256_set1_epi8((char)0x80));
    }
    for (; groups > 0; groups--, stream += DCSFL_GAUSSIAN_GROUP_BYTES, out += DCSFL_GAUSSIAN_GROUP) {
        const uint32_t shared = shared_bits(stream);
        const __m256i low = sample_32(&alias, thresholds, stream, shared);
        const __m256i high = sample_32(&alias, thresholds, stream + 32, shared);
        _mm256_storeu_si256((__m256i *)(void *)out, low);
        _mm256_storeu_si256((__m256i *)(void *)(out + 32), high);
    }
}
