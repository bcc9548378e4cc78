/*
 * One word, or the rest of one, as a bit stream: what the portable kernels are made of and what the vector
 * kernels finish their words with. `static inline`, so that a copy compiled for an instruction set stays
 * inside the file compiled for it.
 */
#ifndef DCSFL_PACK_STREAM_H
#define DCSFL_PACK_STREAM_H

#include <string.h>

#include "../bytes.h"
#include "../verify.h"
#include "pack.h"

/* The bits a field must not have, [field_bits, 32), for field_bits in [1, 32]. */
static inline uint32_t dcsfl_excess_mask(uint32_t field_bits) {
    return (uint32_t)(UINT64_C(0xffffffff) << field_bits);
}

/*
 * Write fields[0..count) from bit 0 of `out` and zeros up to out_bytes.
 * Requires count * field_bits <= 8 * out_bytes. Returns the OR of the fields.
 */
static inline uint32_t dcsfl_pack_stream(uint32_t field_bits, uint8_t *out, size_t out_bytes,
                                         const uint32_t *fields, size_t count) {
    uint32_t seen = 0;
    uint64_t pending = 0;
    unsigned pending_bits = 0; /* below 32 between fields: a field always fits on top */
    size_t at = 0;

    DCSFL_VERIFY(count <= 8 * out_bytes / field_bits);
    for (size_t i = 0; i < count; i++) {
        seen |= fields[i];
        pending |= (uint64_t)fields[i] << pending_bits;
        pending_bits += field_bits;
        if (pending_bits >= 32) { /* the layout's bits, not the field's */
            dcsfl_store_le32(out + at, (uint32_t)pending);
            at += 4;
            pending >>= 32;
            pending_bits -= 32;
        }
    }
    for (unsigned bit = 0; bit < pending_bits; bit += 8)
        out[at++] = (uint8_t)(pending >> bit);
    DCSFL_VERIFY(at <= out_bytes);
    memset(out + at, 0, out_bytes - at);
    return seen;
}

/*
 * Fill out[0..count) from bit 0 of `in`. Reads no byte at or after in_bytes.
 * Requires count * field_bits <= 8 * in_bytes.
 */
static inline void dcsfl_unpack_stream(uint32_t field_bits, uint32_t *out, size_t count, const uint8_t *in,
                                       size_t in_bytes) {
    const uint32_t field_mask = ~dcsfl_excess_mask(field_bits);
    uint64_t pending = 0;
    unsigned pending_bits = 0;
    size_t at = 0;

    DCSFL_VERIFY(count <= 8 * in_bytes / field_bits);
    for (size_t i = 0; i < count; i++) {
        if (pending_bits < field_bits && in_bytes - at >= 4) {
            pending |= (uint64_t)dcsfl_load_le32(in + at) << pending_bits;
            at += 4;
            pending_bits += 32;
        }
        while (pending_bits < field_bits) { /* the last three bytes of the stream at most */
            DCSFL_VERIFY(at < in_bytes);
            pending |= (uint64_t)in[at++] << pending_bits;
            pending_bits += 8;
        }
        out[i] = (uint32_t)pending & field_mask;
        pending >>= field_bits;
        pending_bits -= field_bits;
    }
}

/* The contracts of dcsfl_pack_fn and dcsfl_unpack_fn, as far as they can be checked without the values. */
static inline void dcsfl_pack_verify(const struct dcsfl_pack_layout *layout, const uint32_t *fields,
                                     size_t count, const uint8_t *words, size_t words_bytes) {
    DCSFL_VERIFY(dcsfl_pack_layout_is_valid(layout));
    DCSFL_VERIFY(words_bytes / layout->word_bytes == dcsfl_pack_word_count(layout, count));
    DCSFL_VERIFY(words_bytes % layout->word_bytes == 0);
    DCSFL_VERIFY((uintptr_t)fields % _Alignof(uint32_t) == 0);
    DCSFL_VERIFY(count == 0 || (fields != NULL && words != NULL));
    DCSFL_VERIFY(count == 0 || (uintptr_t)fields >= (uintptr_t)words + words_bytes ||
                 (uintptr_t)words >= (uintptr_t)fields + count * sizeof *fields);
    (void)layout, (void)fields, (void)count, (void)words, (void)words_bytes;
}

#endif
