/* Checks of contracts, compiled in by the CHECK build (meson -Dcheck=true) and away in release. */
#ifndef DCSFL_VERIFY_H
#define DCSFL_VERIFY_H

#ifdef DCSFL_CHECK
#include <stdio.h>
#include <stdlib.h>
/* Aborts, naming the broken condition. `condition` must not depend on secrets: it is a branch. */
#define DCSFL_VERIFY(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: contract broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#else
#define DCSFL_VERIFY(condition) ((void)0)
#endif

#endif
