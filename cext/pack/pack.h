/*
 * Field packing: unsigned integers of `field_bits` bits each, to and from words of `word_bytes` bytes.
 *
 * A word is a little-endian bit stream: field i of the word takes bits [i*field_bits, (i+1)*field_bits),
 * bit b of the stream being bit b%8 of byte b/8. Bits above the last field are zero. A vector of `count`
 * fields takes ceil(count / fields_per_word) words; the last one is filled up with zero fields.
 *
 * Fields are secret. Every kernel here is constant time in them: which branches are taken and which
 * addresses are touched depends on the layout, the lengths and the pointers alone.
 */
#ifndef DCSFL_PACK_H
#define DCSFL_PACK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Valid if 1 <= field_bits <= 32, fields_per_word >= 1, word_bytes <= SIZE_MAX/8 and
 * fields_per_word * field_bits <= 8 * word_bytes. Every function below requires a valid layout, except
 * dcsfl_pack_layout_is_valid. Layouts are public.
 */
struct dcsfl_pack_layout {
    uint32_t field_bits;
    size_t fields_per_word;
    size_t word_bytes;
};

static inline int dcsfl_pack_layout_is_valid(const struct dcsfl_pack_layout *layout) {
    return layout->field_bits >= 1 && layout->field_bits <= 32 && layout->fields_per_word >= 1 &&
           layout->word_bytes <= SIZE_MAX / 8 &&
           layout->fields_per_word <= 8 * layout->word_bytes / layout->field_bits;
}

/* ceil(count / fields_per_word), for any count. */
static inline size_t dcsfl_pack_word_count(const struct dcsfl_pack_layout *layout, size_t count) {
    return count / layout->fields_per_word + (count % layout->fields_per_word != 0);
}

/*
 * Pack fields[0..count) into `out`.
 *   out        out_bytes = dcsfl_pack_word_count(layout, count) * word_bytes, any alignment; all of it is
 *              written and nothing else. Must not overlap `fields`.
 *   fields     aligned as uint32_t; each in [0, 2^field_bits).
 * Returns 0; or 1 if some field is out of range, and then `out` holds a meaningless mixture of fields
 * that the caller must wipe. The result is public. Either pointer may be NULL if count is 0.
 */
typedef int dcsfl_pack_fn(const struct dcsfl_pack_layout *layout, uint8_t *out, size_t out_bytes,
                          const uint32_t *fields, size_t count);

/*
 * The inverse: fill out[0..count) from `words`.
 *   out        aligned as uint32_t; each element comes out in [0, 2^field_bits). Must not overlap `words`.
 *   words      words_bytes = dcsfl_pack_word_count(layout, count) * word_bytes, any alignment. Bits above
 *              the last field, and the fields from `count` on, are ignored.
 * Either pointer may be NULL if count is 0.
 */
typedef void dcsfl_unpack_fn(const struct dcsfl_pack_layout *layout, uint32_t *out, size_t count,
                             const uint8_t *words, size_t words_bytes);

struct dcsfl_pack_kernels {
    dcsfl_pack_fn *pack;
    dcsfl_unpack_fn *unpack;
};

extern const struct dcsfl_pack_kernels dcsfl_pack_portable;
extern const struct dcsfl_pack_kernels dcsfl_pack_avx2; /* requires DCSFL_CPU_AVX2; x86-64 builds only */

#endif
