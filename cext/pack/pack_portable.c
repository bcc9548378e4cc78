/* Field packing in plain C11: runs everywhere, and is what the other targets are measured against. */
#include "pack.h"
#include "stream.h"

/* A word of 8 bytes is built in one register: this many full words, then what is left as a stream. */
static uint32_t pack_words_of_8(const struct dcsfl_pack_layout *layout, uint8_t *out, const uint32_t *fields,
                                size_t full_words) {
    uint32_t seen = 0;

    for (size_t j = 0; j < full_words; j++) {
        uint64_t word = 0;
        unsigned shift = 0;
        for (size_t i = 0; i < layout->fields_per_word; i++, shift += layout->field_bits) {
            seen |= fields[i];
            word |= (uint64_t)fields[i] << shift;
        }
        dcsfl_store_le64(out, word);
        fields += layout->fields_per_word;
        out += 8;
    }
    return seen;
}

static void unpack_words_of_8(const struct dcsfl_pack_layout *layout, uint32_t *out, const uint8_t *words,
                              size_t full_words) {
    const uint32_t field_mask = ~dcsfl_excess_mask(layout->field_bits);

    for (size_t j = 0; j < full_words; j++) {
        const uint64_t word = dcsfl_load_le64(words);
        unsigned shift = 0;
        for (size_t i = 0; i < layout->fields_per_word; i++, shift += layout->field_bits)
            out[i] = (uint32_t)(word >> shift) & field_mask;
        out += layout->fields_per_word;
        words += 8;
    }
}

static int pack(const struct dcsfl_pack_layout *layout, uint8_t *out, size_t out_bytes,
                const uint32_t *fields, size_t count) {
    uint32_t seen = 0;
    size_t done = 0;

    dcsfl_pack_verify(layout, fields, count, out, out_bytes);
    (void)out_bytes;
    if (count == 0)
        return 0;
    if (layout->word_bytes == 8) {
        const size_t full_words = count / layout->fields_per_word;
        seen |= pack_words_of_8(layout, out, fields, full_words);
        done = full_words * layout->fields_per_word;
        out += 8 * full_words;
    }
    while (done < count) {
        const size_t left = count - done;
        const size_t take = left < layout->fields_per_word ? left : layout->fields_per_word;
        seen |= dcsfl_pack_stream(layout->field_bits, out, layout->word_bytes, fields + done, take);
        done += take;
        out += layout->word_bytes;
    }
    return (seen & dcsfl_excess_mask(layout->field_bits)) != 0;
}

static void unpack(const struct dcsfl_pack_layout *layout, uint32_t *out, size_t count, const uint8_t *words,
                   size_t words_bytes) {
    size_t done = 0;

    dcsfl_pack_verify(layout, out, count, words, words_bytes);
    (void)words_bytes;
    if (count == 0)
        return;
    if (layout->word_bytes == 8) {
        const size_t full_words = count / layout->fields_per_word;
        unpack_words_of_8(layout, out, words, full_words);
        done = full_words * layout->fields_per_word;
        words += 8 * full_words;
    }
    while (done < count) {
        const size_t left = count - done;
        const size_t take = left < layout->fields_per_word ? left : layout->fields_per_word;
        dcsfl_unpack_stream(layout->field_bits, out + done, take, words, layout->word_bytes);
        done += take;
        words += layout->word_bytes;
    }
}

const struct dcsfl_pack_kernels dcsfl_pack_portable = {pack, unpack};
