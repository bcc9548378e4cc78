/*
 * Ciphertext coefficients with AVX-512 VBMI, called only where DCSFL_CPU_AVX512_IFMA is set.
 *
 * The portable kernels' groups of eight, a group to a register: `width` bytes, at most 56 of its 64. Loads and
 * stores are masked to the group's own bytes, so that every full group is done here.
 */
#include <immintrin.h>

#include "coefficient_stream.h"
#include "coefficients.h"

/* Where the coefficients of a group lie. */
struct group {
    __mmask64 bytes; /* the group's own */
    __m512i shift;   /* per coefficient: the bit it starts at in its first byte */
    __m512i carry;   /* per coefficient: the shift that leaves those bits of the coefficient before it */
    __m512i compact; /* per byte: pack's move of the coefficients' bytes behind each other */
    __m512i spread;  /* per byte: unpack's move of each coefficient's bytes into 64 bits */
};

static struct group make_group(unsigned width) {
    uint64_t shift[8], carry[8];
    uint8_t compact[64] = {0}, spread[64];
    struct group group;

    for (unsigned i = 0; i < 8; i++) {
        const unsigned first_byte = i * width / 8;
        shift[i] = i * width % 8;
        carry[i] = i == 0 ? 64 : width - shift[i]; /* a group starts on a byte: 64 yields zero */
        /* In order: a byte that two coefficients share is the later one's, which carries the earlier one's end. */
        for (unsigned b = 0; b < 8; b++)
            compact[first_byte + b] = (uint8_t)(8 * i + b);
        for (unsigned b = 0; b < 8; b++)
            spread[8 * i + b] = (uint8_t)(first_byte + b);
    }
    group.bytes = (UINT64_C(1) << width) - 1;
    group.shift = _mm512_loadu_si512(shift);
    group.carry = _mm512_loadu_si512(carry);
    group.compact = _mm512_loadu_si512(compact);
    group.spread = _mm512_loadu_si512(spread);
    return group;
}

static int pack(uint8_t *out, const uint64_t *words, size_t count, unsigned width) {
    const struct group group = make_group(width);
    const size_t groups = width >= DCSFL_COEFFICIENT_MIN_GROUP_WIDTH ? count / 8 : 0;
    __m512i seen = _mm512_setzero_si512();
    uint64_t seen_in_tail;

    dcsfl_coefficients_verify(words, count, out, width);
    if (count == 0)
        return 0;
    for (size_t g = 0; g < groups; g++, out += width, words += 8) {
        const __m512i eight = _mm512_loadu_si512(words);
        const __m512i before = _mm512_alignr_epi64(eight, eight, 7); /* 7, 0, 1, .. 6 */
        const __m512i placed =
            _mm512_or_si512(_mm512_sllv_epi64(eight, group.shift), _mm512_srlv_epi64(before, group.carry));

        _mm512_mask_storeu_epi8(out, group.bytes, _mm512_permutexvar_epi8(group.compact, placed));
        seen = _mm512_or_si512(seen, eight);
    }
    seen_in_tail = dcsfl_pack_coefficient_stream(out, words, count - 8 * groups, width);
    return ((seen_in_tail | (uint64_t)_mm512_reduce_or_epi64(seen)) & dcsfl_coefficient_excess_mask(width)) != 0;
}

static size_t unpack(uint64_t *out, const uint8_t *in, size_t count, unsigned width, uint64_t limit) {
    const struct group group = make_group(width);
    const size_t groups = count / 8;
    const uint64_t kept_bits = ~dcsfl_coefficient_excess_mask(width);
    const __m512i kept = _mm512_set1_epi64((int64_t)kept_bits);
    const __m512i bound = _mm512_set1_epi64((int64_t)limit);

    dcsfl_coefficients_verify(out, count, in, width);
    DCSFL_VERIFY(limit >= 1 && limit <= kept_bits + 1);
    if (count == 0)
        return 0;
    for (size_t g = 0; g < groups; g++, in += width) {
        const __m512i spread = _mm512_permutexvar_epi8(group.spread, _mm512_maskz_loadu_epi8(group.bytes, in));
        const __m512i eight = _mm512_and_si512(_mm512_srlv_epi64(spread, group.shift), kept);

        _mm512_storeu_si512(out + 8 * g, eight);
        if (_mm512_cmpge_epu64_mask(eight, bound) != 0)
            return 8 * g + dcsfl_first_at_or_above(out + 8 * g, 8, limit);
    }
    dcsfl_unpack_coefficient_stream(out + 8 * groups, in, count - 8 * groups, width);
    return 8 * groups + dcsfl_first_at_or_above(out + 8 * groups, count - 8 * groups, limit);
}

const struct dcsfl_coefficient_kernels dcsfl_coefficients_avx512ifma = {pack, unpack};
