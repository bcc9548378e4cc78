/*
 * Products mod n^2 with AVX-512 IFMA, called only where DCSFL_CPU_AVX512_IFMA is set: vpmadd52luq and vpmadd52huq add
 * the low and the high 52 bits of a product of two 52-bit integers to 64-bit sums (Intel SDM vol. 2; used for modular
 * exponentiation by Gueron and Krasnov, "Accelerating big integer arithmetic using Intel IFMA extensions", ARITH 2016).
 */
#include <immintrin.h>

#include "bigint.h"

#define LANES 8 /* one vector */
#define VECTOR_LANES 8
#define LIMB_BITS 52
#define GUARD 0 /* no half is negative */
#define MAX_LIMBS 158
#define BLOCK 8 /* a column's sum gets two dependent additions per right limb, 8 cycles: as long as 16 take to issue */
#define WRITTEN_OUT 1

typedef __m512i vector;
typedef __m512i operand;

static inline vector vector_load(const uint64_t *in) {
    return _mm512_load_si512(in);
}

static inline void vector_store(uint64_t *out, vector value) {
    _mm512_store_si512(out, value);
}

static inline vector vector_set(uint64_t value) {
    return _mm512_set1_epi64((long long)value);
}

static inline vector vector_add(vector a, vector b) {
    return _mm512_add_epi64(a, b);
}

static inline vector vector_sub(vector a, vector b) {
    return _mm512_sub_epi64(a, b);
}

static inline vector vector_and(vector a, vector b) {
    return _mm512_and_si512(a, b);
}

static inline vector vector_carry(vector column) {
    return _mm512_srli_epi64(column, LIMB_BITS);
}

static inline operand operand_from(vector limb) {
    return limb;
}

static inline __attribute__((always_inline)) void multiply_accumulate(vector *low, vector *high, operand a,
                                                                      operand b) {
    *low = _mm512_madd52lo_epu64(*low, a, b);
    *high = _mm512_madd52hi_epu64(*high, a, b);
}

static inline vector column_start(uint64_t lows, uint64_t highs, int is_first) {
    (void)lows, (void)highs, (void)is_first;
    return _mm512_setzero_si512();
}

/* The instruction takes the low 52 bits of its factors. */
static inline vector quotient(vector column, operand inverse) {
    return vector_and(_mm512_madd52lo_epu64(_mm512_setzero_si512(), column, inverse),
                      vector_set((UINT64_C(1) << LIMB_BITS) - 1));
}

#include "lanes_vector.h"

static void multiply(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *left,
                     const uint64_t *right) {
    multiply_vectors(modulus, scratch, out, left, right, PRODUCT);
}

static void square(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out, const uint64_t *factor) {
    multiply_vectors(modulus, scratch, out, factor, factor, SQUARE);
}

static void multiply_residues(const struct dcsfl_modulus *modulus, uint64_t *scratch, uint64_t *out,
                              const uint64_t *left, const uint64_t *right) {
    multiply_vectors(modulus, scratch, out, left, right, RESIDUE);
}

/* --- tables: per limb all entries, so that vpermi2q serves 8 lanes from 16 of them ------------------------------- */

static void put(uint8_t *row, size_t limbs, unsigned window_bits, size_t first_entry, const uint64_t *numbers,
                size_t lane) {
    uint64_t *entries = (uint64_t *)(void *)row + first_entry;

    for (size_t j = 0; j < limbs; j++)
        for (size_t i = 0; i < DCSFL_PUT_ENTRIES; i++)
            entries[(j << window_bits) + i] = numbers[(i * limbs + j) * LANES + lane];
}

/* Digits of 8 lanes: as indices, and bit 4 + i as a mask. */
struct digits {
    __m512i index;
    __mmask8 bit[DCSFL_MAX_WINDOW_BITS - 4];
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE vector pick16(const uint64_t *entries, const struct digits *digits) {
    return _mm512_permutex2var_epi64(vector_load(entries), digits->index, vector_load(entries + 8));
}

ALWAYS_INLINE vector pick32(const uint64_t *entries, const struct digits *digits) {
    return _mm512_mask_blend_epi64(digits->bit[0], pick16(entries, digits), pick16(entries + 16, digits));
}

ALWAYS_INLINE vector pick64(const uint64_t *entries, const struct digits *digits) {
    return _mm512_mask_blend_epi64(digits->bit[1], pick32(entries, digits), pick32(entries + 32, digits));
}

ALWAYS_INLINE vector pick128(const uint64_t *entries, const struct digits *digits) {
    return _mm512_mask_blend_epi64(digits->bit[2], pick64(entries, digits), pick64(entries + 64, digits));
}

ALWAYS_INLINE vector pick256(const uint64_t *entries, const struct digits *digits) {
    return _mm512_mask_blend_epi64(digits->bit[3], pick128(entries, digits), pick128(entries + 128, digits));
}

static void pick(uint64_t *out, const uint8_t *row, size_t limbs, unsigned window_bits, const uint8_t *digits) {
    const uint64_t *words = (const uint64_t *)(const void *)row;
    struct digits of;

    of.index = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(const void *)digits));
    for (int i = 0; i < DCSFL_MAX_WINDOW_BITS - 4; i++)
        of.bit[i] = _mm512_test_epi64_mask(of.index, vector_set(UINT64_C(16) << i));
    switch (window_bits) {
#define PICK(bits, entries)                                                         \
    case bits:                                                                      \
        for (size_t j = 0; j < limbs; j++)                                          \
            vector_store(out + j * LANES, pick##entries(words + j * entries, &of)); \
        break;
        PICK(4, 16)
        PICK(5, 32)
        PICK(6, 64)
        PICK(7, 128)
        PICK(8, 256)
#undef PICK
    default:
        break;
    }
}

static void scan(uint64_t *out, const uint64_t *table, size_t words, size_t entries, uint32_t index) {
    for (size_t at = 0; at < words; at += LANES) {
        vector chosen = _mm512_setzero_si512();
        for (size_t entry = 0; entry < entries; entry++)
            chosen = _mm512_mask_mov_epi64(chosen, _mm512_cmpeq_epi64_mask(vector_set(entry), vector_set(index)),
                                           vector_load(table + entry * words + at));
        vector_store(out + at, chosen);
    }
}

const struct dcsfl_bigint_kernels dcsfl_bigint_avx512ifma = {
    LIMB_BITS, LANES, LANES, sizeof(uint64_t), 900, multiply, square, multiply_residues, advance_vectors, multiply_add_vectors,
    put, pick, scan,
};
