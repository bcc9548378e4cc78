#include "cpu.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>

/* Intel SDM vol. 1, 14.3 and 14.7.1: OSXSAVE, then XCR0, then the feature's own bit. */
#define LEAF1_ECX_OSXSAVE (1U << 27)
#define LEAF1_ECX_AVX (1U << 28)
#define LEAF7_EBX_AVX2 (1U << 5)
#define XCR0_SSE_AND_AVX_STATE 0x6U

/* The low half of XCR0. Faults unless CPUID reports OSXSAVE. */
static uint32_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    return low;
}

uint32_t dcsfl_cpu_features(void) {
    unsigned eax, ebx, ecx, edx;
    uint32_t features = 0;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        return 0;
    if (!(ecx & LEAF1_ECX_OSXSAVE) || !(ecx & LEAF1_ECX_AVX))
        return 0;
    if ((read_xcr0() & XCR0_SSE_AND_AVX_STATE) != XCR0_SSE_AND_AVX_STATE)
        return 0;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & LEAF7_EBX_AVX2))
        features |= DCSFL_CPU_AVX2;
    return features;
}

#else

uint32_t dcsfl_cpu_features(void) {
    return 0;
}

#endif
