/*
 * Field packing with AVX2, compiled with -mavx2 and called only where DCSFL_CPU_AVX2 is set.
 *
 * Two shapes have vector code; everything else is finished by the bit stream of stream.h:
 *   groups   fields_per_word >= 8: eight fields are field_bits whole bytes, so a word is a run of groups
 *            that each start on a byte.
 *   quads    word_bytes = 8 and at most 4 fields: a word's fields are one 16-byte load.
 *
 * Loads and stores of whole registers reach past a group or a word into what follows. What follows is
 * written later, in order, and the last groups or words of a buffer, where nothing follows, are left to the
 * stream: no byte outside the caller's buffers is touched.
 */
#include <immintrin.h>

#include "../verify.h"
#include "pack.h"
#include "stream.h"

/* A group's loads (unpack) and stores (pack) lie within this many bytes from its first. */
#define GROUP_REACH_BYTES 32

#define NO_BYTE ((int8_t)-128) /* a pshufb index that yields zero */

static inline __m128i load128(const void *in) {
    return _mm_loadu_si128((const __m128i *)in);
}

static inline void store128(void *out, __m128i value) {
    _mm_storeu_si128((__m128i *)out, value);
}

static inline __m256i load256(const void *in) {
    return _mm256_loadu_si256((const __m256i *)in);
}

static inline uint32_t or_lanes(__m256i value) {
    uint32_t lane[8], all = 0;

    _mm256_storeu_si256((__m256i *)(void *)lane, value);
    for (int i = 0; i < 8; i++)
        all |= lane[i];
    return all;
}

/* How many of `groups` groups, starting `room` bytes before the end of the buffer, stay inside it. */
static size_t groups_in_reach(size_t groups, size_t room, uint32_t field_bits) {
    size_t fitting;

    if (room < GROUP_REACH_BYTES)
        return 0;
    fitting = (room - GROUP_REACH_BYTES) / field_bits + 1;
    return groups < fitting ? groups : fitting;
}

/* --- groups: pack -------------------------------------------------------------------------------- */

/* Shifts and shuffles that a width fixes. w is field_bits; all offsets are from the group's first bit. */
struct group_packer {
    __m256i join_lift;   /* per 32 bits: w even field's shift up, so that it ends where the odd one starts */
    __m128i join_drop;   /* and the shift of the joined pair back down */
    __m256i pair_shift;  /* per 64 bits: where in its first byte pair j starts, 2wj mod 8 */
    __m256i odd_pair;    /* per byte: moves a lane's second pair behind its first */
    __m128i upper_to_lo; /* per byte: fields 4..7 into the group's bytes 0..15 */
    __m128i upper_to_hi; /* and into its bytes 16..31 */
};

static int8_t byte_index(int index) {
    return index >= 0 && index < 16 ? (int8_t)index : NO_BYTE;
}

static struct group_packer make_group_packer(uint32_t field_bits) {
    const int w = (int)field_bits;
    const int upper_byte = 4 * w / 8; /* the byte fields 4..7 start in */
    int8_t odd_pair[32], to_lo[16], to_hi[16];
    struct group_packer packer;

    for (int i = 0; i < 16; i++) {
        const int lower_move = 2 * w / 8, upper_move = 6 * w / 8 - upper_byte;
        odd_pair[i] = i >= lower_move ? byte_index(8 + i - lower_move) : NO_BYTE;
        odd_pair[16 + i] = i >= upper_move ? byte_index(8 + i - upper_move) : NO_BYTE;
        to_lo[i] = byte_index(i - upper_byte);
        to_hi[i] = byte_index(16 + i - upper_byte);
    }
    packer.join_lift = _mm256_set1_epi64x(32 - w);
    packer.join_drop = _mm_cvtsi32_si128(32 - w);
    packer.pair_shift = _mm256_setr_epi64x(0, 2 * w % 8, 4 * w % 8, 6 * w % 8);
    packer.odd_pair = load256(odd_pair);
    packer.upper_to_lo = load128(to_lo);
    packer.upper_to_hi = load128(to_hi);
    return packer;
}

/*
 * A pair of fields takes 2w bits and starts up to 6 bits into its first byte; it is kept in 64 bits. That
 * holds for every width but 31 (62 bits, shifted by 2, 4 and 6), which the stream packs.
 */
static int group_width_is_packed(uint32_t field_bits) {
    return field_bits != 31;
}

/* Pack 8 fields to out[0..w), zeros after it up to GROUP_REACH_BYTES at most. Returns the fields. */
static inline __m256i pack_group(const struct group_packer *packer, uint8_t *out, const uint32_t *fields,
                                 int is_wide) {
    const __m256i loaded = load256(fields);
    const __m256i pairs =
        _mm256_srl_epi64(_mm256_sllv_epi32(loaded, packer->join_lift), packer->join_drop);
    const __m256i placed = _mm256_sllv_epi64(pairs, packer->pair_shift);
    const __m256i halves = _mm256_or_si256(_mm256_unpacklo_epi64(placed, _mm256_setzero_si256()),
                                           _mm256_shuffle_epi8(placed, packer->odd_pair));
    const __m128i upper = _mm256_extracti128_si256(halves, 1);

    store128(out, _mm_or_si128(_mm256_castsi256_si128(halves), _mm_shuffle_epi8(upper, packer->upper_to_lo)));
    if (is_wide)
        store128(out + 16, _mm_shuffle_epi8(upper, packer->upper_to_hi));
    return loaded;
}

static uint32_t pack_groups(const struct dcsfl_pack_layout *layout, uint8_t *out, size_t out_bytes,
                            const uint32_t *fields, size_t count) {
    const uint32_t w = layout->field_bits;
    const struct group_packer packer = make_group_packer(w);
    __m256i seen = _mm256_setzero_si256();
    uint32_t seen_in_tails = 0;

    while (count > 0) {
        const size_t in_word = count < layout->fields_per_word ? count : layout->fields_per_word;
        const size_t groups = groups_in_reach(in_word / 8, out_bytes, w);
        uint8_t *at = out;

        if (w > 16)
            for (size_t g = 0; g < groups; g++, at += w)
                seen = _mm256_or_si256(seen, pack_group(&packer, at, fields + 8 * g, 1));
        else
            for (size_t g = 0; g < groups; g++, at += w)
                seen = _mm256_or_si256(seen, pack_group(&packer, at, fields + 8 * g, 0));
        seen_in_tails |= dcsfl_pack_stream(w, at, layout->word_bytes - groups * w, fields + 8 * groups,
                                           in_word - 8 * groups);
        fields += in_word;
        count -= in_word;
        out += layout->word_bytes;
        out_bytes -= layout->word_bytes;
    }
    return seen_in_tails | or_lanes(seen);
}

/* --- groups: unpack ------------------------------------------------------------------------------ */

struct group_unpacker {
    size_t upper_byte;  /* the byte fields 4..7 start in */
    __m256i first_four; /* per byte: the four bytes that hold a field's lowest bits, one field per 32 bits */
    __m256i fifth;      /* per byte: the byte after those four */
    __m256i drop;       /* per 32 bits: where in its first byte the field starts */
    __m256i fifth_lift; /* per 32 bits: 32 - drop */
    __m256i field_mask;
};

static struct group_unpacker make_group_unpacker(uint32_t field_bits) {
    const int w = (int)field_bits;
    const int upper_byte = 4 * w / 8;
    int8_t first_four[32], fifth[32];
    int32_t drop[8];
    struct group_unpacker unpacker;

    for (int i = 0; i < 8; i++) {
        const int bit = i * w - (i < 4 ? 0 : 8 * upper_byte); /* in the field's own half */
        drop[i] = bit % 8;
        for (int b = 0; b < 4; b++) {
            first_four[4 * i + b] = byte_index(bit / 8 + b);
            fifth[4 * i + b] = b == 0 ? byte_index(bit / 8 + 4) : NO_BYTE;
        }
    }
    unpacker.upper_byte = (size_t)upper_byte;
    unpacker.first_four = load256(first_four);
    unpacker.fifth = load256(fifth);
    unpacker.drop = load256(drop);
    unpacker.fifth_lift = _mm256_sub_epi32(_mm256_set1_epi32(32), unpacker.drop);
    unpacker.field_mask = _mm256_set1_epi32((int)~dcsfl_excess_mask(field_bits));
    return unpacker;
}

/* Unpack 8 fields; reads `in` up to GROUP_REACH_BYTES. Up to 26 bits no field spans five bytes. */
static inline void unpack_group(const struct group_unpacker *unpacker, uint32_t *out, const uint8_t *in,
                                int has_fifth) {
    const __m256i halves =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load128(in)), load128(in + unpacker->upper_byte), 1);
    __m256i fields = _mm256_srlv_epi32(_mm256_shuffle_epi8(halves, unpacker->first_four), unpacker->drop);

    if (has_fifth)
        fields = _mm256_or_si256(fields, _mm256_sllv_epi32(_mm256_shuffle_epi8(halves, unpacker->fifth),
                                                           unpacker->fifth_lift));
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_and_si256(fields, unpacker->field_mask));
}

static void unpack_groups(const struct dcsfl_pack_layout *layout, uint32_t *out, size_t count,
                          const uint8_t *words, size_t words_bytes) {
    const uint32_t w = layout->field_bits;
    const struct group_unpacker unpacker = make_group_unpacker(w);

    while (count > 0) {
        const size_t in_word = count < layout->fields_per_word ? count : layout->fields_per_word;
        const size_t groups = groups_in_reach(in_word / 8, words_bytes, w);
        const uint8_t *at = words;

        if (w > 26)
            for (size_t g = 0; g < groups; g++, at += w)
                unpack_group(&unpacker, out + 8 * g, at, 1);
        else
            for (size_t g = 0; g < groups; g++, at += w)
                unpack_group(&unpacker, out + 8 * g, at, 0);
        dcsfl_unpack_stream(w, out + 8 * groups, in_word - 8 * groups, at, layout->word_bytes - groups * w);
        out += in_word;
        count -= in_word;
        words += layout->word_bytes;
        words_bytes -= layout->word_bytes;
    }
}

/* --- quads: words of 8 bytes with 1 to 4 fields, four words at a time ---------------------------- */

/* Fields a step over four words of k fields touches, the last load or store reaching past its word. */
static size_t quad_reach(size_t k) {
    return 3 * k + 4;
}

/* Bit position of field i in its word, or 64, a shift that yields zero, where there is no field i. */
static int64_t field_shift(const struct dcsfl_pack_layout *layout, size_t i) {
    return i < layout->fields_per_word ? (int64_t)(i * layout->field_bits) : 64;
}

static inline __m256i load_two_words_fields(const uint32_t *first, const uint32_t *second) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(first)), load128(second), 1);
}

static uint32_t pack_quads(const struct dcsfl_pack_layout *layout, uint8_t *out, const uint32_t *fields,
                           size_t count) {
    const size_t k = layout->fields_per_word;
    const __m256i low_half = _mm256_set1_epi64x(0xffffffff);
    const __m256i even_shift = _mm256_setr_epi64x(field_shift(layout, 0), field_shift(layout, 2),
                                                  field_shift(layout, 0), field_shift(layout, 2));
    const __m256i odd_shift = _mm256_setr_epi64x(field_shift(layout, 1), field_shift(layout, 3),
                                                 field_shift(layout, 1), field_shift(layout, 3));
    __m256i seen = _mm256_setzero_si256();
    uint32_t seen_in_tail = 0;

    for (; count >= quad_reach(k); count -= 4 * k, fields += 4 * k, out += 32) {
        const __m256i words_0_2 = load_two_words_fields(fields, fields + 2 * k);
        const __m256i words_1_3 = load_two_words_fields(fields + k, fields + 3 * k);
        const __m256i pairs_0_2 =
            _mm256_or_si256(_mm256_sllv_epi64(_mm256_and_si256(words_0_2, low_half), even_shift),
                            _mm256_sllv_epi64(_mm256_srli_epi64(words_0_2, 32), odd_shift));
        const __m256i pairs_1_3 =
            _mm256_or_si256(_mm256_sllv_epi64(_mm256_and_si256(words_1_3, low_half), even_shift),
                            _mm256_sllv_epi64(_mm256_srli_epi64(words_1_3, 32), odd_shift));

        _mm256_storeu_si256((__m256i *)(void *)out,
                            _mm256_or_si256(_mm256_unpacklo_epi64(pairs_0_2, pairs_1_3),
                                            _mm256_unpackhi_epi64(pairs_0_2, pairs_1_3)));
        /* A load's fourth element may belong to the next word: a field too, so it may be checked twice. */
        seen = _mm256_or_si256(seen, _mm256_or_si256(words_0_2, words_1_3));
    }
    while (count > 0) {
        const size_t take = count < k ? count : k;
        seen_in_tail |= dcsfl_pack_stream(layout->field_bits, out, 8, fields, take);
        count -= take;
        fields += take;
        out += 8;
    }
    return seen_in_tail | or_lanes(seen);
}

static void unpack_quads(const struct dcsfl_pack_layout *layout, uint32_t *out, size_t count,
                         const uint8_t *words) {
    const size_t k = layout->fields_per_word;
    const __m256i even_shift = _mm256_setr_epi64x(field_shift(layout, 0), field_shift(layout, 2),
                                                  field_shift(layout, 0), field_shift(layout, 2));
    const __m256i odd_shift = _mm256_setr_epi64x(field_shift(layout, 1), field_shift(layout, 3),
                                                 field_shift(layout, 1), field_shift(layout, 3));
    const __m256i field_mask = _mm256_set1_epi32((int)~dcsfl_excess_mask(layout->field_bits));

    for (; count >= quad_reach(k); count -= 4 * k, out += 4 * k, words += 32) {
        const __m256i loaded = load256(words);
        const __m256i words_0_2 = _mm256_unpacklo_epi64(loaded, loaded);
        const __m256i words_1_3 = _mm256_unpackhi_epi64(loaded, loaded);
        const __m256i fields_0_2 = _mm256_and_si256(
            _mm256_blend_epi32(_mm256_srlv_epi64(words_0_2, even_shift),
                               _mm256_slli_epi64(_mm256_srlv_epi64(words_0_2, odd_shift), 32), 0xaa),
            field_mask);
        const __m256i fields_1_3 = _mm256_and_si256(
            _mm256_blend_epi32(_mm256_srlv_epi64(words_1_3, even_shift),
                               _mm256_slli_epi64(_mm256_srlv_epi64(words_1_3, odd_shift), 32), 0xaa),
            field_mask);

        /* In this order: each store's elements past its word are overwritten by the next. */
        store128(out, _mm256_castsi256_si128(fields_0_2));
        store128(out + k, _mm256_castsi256_si128(fields_1_3));
        store128(out + 2 * k, _mm256_extracti128_si256(fields_0_2, 1));
        store128(out + 3 * k, _mm256_extracti128_si256(fields_1_3, 1));
    }
    while (count > 0) {
        const size_t take = count < k ? count : k;
        dcsfl_unpack_stream(layout->field_bits, out, take, words, 8);
        count -= take;
        out += take;
        words += 8;
    }
}

/* --- the kernels --------------------------------------------------------------------------------- */

static int is_quads(const struct dcsfl_pack_layout *layout) {
    return layout->word_bytes == 8 && layout->fields_per_word <= 4;
}

static int pack(const struct dcsfl_pack_layout *layout, uint8_t *out, size_t out_bytes,
                const uint32_t *fields, size_t count) {
    uint32_t seen;

    dcsfl_pack_verify(layout, fields, count, out, out_bytes);
    if (count == 0)
        return 0;
    if (is_quads(layout))
        seen = pack_quads(layout, out, fields, count);
    else if (layout->fields_per_word >= 8 && group_width_is_packed(layout->field_bits))
        seen = pack_groups(layout, out, out_bytes, fields, count);
    else
        return dcsfl_pack_portable.pack(layout, out, out_bytes, fields, count);
    return (seen & dcsfl_excess_mask(layout->field_bits)) != 0;
}

static void unpack(const struct dcsfl_pack_layout *layout, uint32_t *out, size_t count, const uint8_t *words,
                   size_t words_bytes) {
    dcsfl_pack_verify(layout, out, count, words, words_bytes);
    if (count == 0)
        return;
    if (is_quads(layout))
        unpack_quads(layout, out, count, words);
    else if (layout->fields_per_word >= 8)
        unpack_groups(layout, out, count, words, words_bytes);
    else
        dcsfl_pack_portable.unpack(layout, out, count, words, words_bytes);
}

const struct dcsfl_pack_kernels dcsfl_pack_avx2 = {pack, unpack};
