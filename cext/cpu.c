#include "cpu.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>

/* Intel SDM vol. 1, 14.3, 14.7.1 and 15.2: OSXSAVE, then XCR0, then the features' own bits. */
#define LEAF1_ECX_FMA (1U << 12)
#define LEAF1_ECX_OSXSAVE (1U << 27)
#define LEAF1_ECX_AVX (1U << 28)
#define LEAF7_EBX_AVX2 (1U << 5)
#define LEAF7_EBX_BMI2 (1U << 8)
#define LEAF7_EBX_AVX512 (1U << 16 | 1U << 17 | 1U << 21 | 1U << 30 | 1U << 31) /* F, DQ, IFMA, BW, VL */
#define LEAF7_ECX_AVX512_VBMI (1U << 1)
#define XCR0_SSE_AND_AVX_STATE 0x6U
#define XCR0_AVX512_STATE 0xe0U /* opmask, upper halves of zmm0-15, zmm16-31 */

/* The low half of XCR0. Faults unless CPUID reports OSXSAVE. */
static uint32_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    return low;
}

static int has_all(uint32_t value, uint32_t bits) {
    return (value & bits) == bits;
}

uint32_t dcsfl_cpu_features(void) {
    unsigned eax, ebx, ecx, edx;
    uint32_t xcr0, features = 0;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        return 0;
    if (!has_all(ecx, LEAF1_ECX_OSXSAVE | LEAF1_ECX_AVX | LEAF1_ECX_FMA))
        return 0;
    xcr0 = read_xcr0();
    if (!has_all(xcr0, XCR0_SSE_AND_AVX_STATE) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    if (has_all(ebx, LEAF7_EBX_AVX2 | LEAF7_EBX_BMI2))
        features |= DCSFL_CPU_AVX2;
    if (features != 0 && has_all(xcr0, XCR0_AVX512_STATE) && has_all(ebx, LEAF7_EBX_AVX512) &&
        has_all(ecx, LEAF7_ECX_AVX512_VBMI))
        features |= DCSFL_CPU_AVX512_IFMA;
    return features;
}

#else

uint32_t dcsfl_cpu_features(void) {
    return 0;
}

#endif
