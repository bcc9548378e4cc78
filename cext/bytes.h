/* Little-endian integers in byte buffers of any alignment. */
#ifndef DCSFL_BYTES_H
#define DCSFL_BYTES_H

#include <stdint.h>

/* Bytes written out one by one: compilers merge them into one access, and it holds on any byte order. */
static inline uint32_t dcsfl_load_le32(const uint8_t in[4]) {
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static inline uint64_t dcsfl_load_le64(const uint8_t in[8]) {
    return (uint64_t)dcsfl_load_le32(in) | (uint64_t)dcsfl_load_le32(in + 4) << 32;
}

static inline void dcsfl_store_le32(uint8_t out[4], uint32_t value) {
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    out[2] = (uint8_t)(value >> 16);
    out[3] = (uint8_t)(value >> 24);
}

static inline void dcsfl_store_le64(uint8_t out[8], uint64_t value) {
    dcsfl_store_le32(out, (uint32_t)value);
    dcsfl_store_le32(out + 4, (uint32_t)(value >> 32));
}

#endif
