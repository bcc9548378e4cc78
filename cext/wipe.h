/* Erasing secrets from memory that is about to be given up. */
#ifndef DCSFL_WIPE_H
#define DCSFL_WIPE_H

#include <stddef.h>
#include <string.h>

/* Zero memory[0..bytes), in a way that a compiler may not drop as a store that nobody reads. */
static inline void dcsfl_wipe(void *memory, size_t bytes) {
#if defined(__GNUC__)
    memset(memory, 0, bytes);
    __asm__ volatile("" : : "r"(memory) : "memory");
#else
    volatile unsigned char *at = (volatile unsigned char *)memory;
    while (bytes-- > 0)
        *at++ = 0;
#endif
}

#endif
