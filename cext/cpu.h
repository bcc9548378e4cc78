/* What the processor can do and the operating system lets it do. */
#ifndef DCSFL_CPU_H
#define DCSFL_CPU_H

#include <stdint.h>

/* Feature bits; a target requires a set of them. */
#define DCSFL_CPU_AVX2 (UINT32_C(1) << 0)       /* AVX2 with FMA and BMI2: every AVX2 processor made */
#define DCSFL_CPU_AVX512_IFMA (UINT32_C(1) << 1) /* AVX-512 F, DQ, BW, VL, IFMA and VBMI */

/*
 * The features that may be used here, as an OR of DCSFL_CPU_*. A vector feature counts only if CPUID
 * reports it and XGETBV shows that the operating system saves the registers it needs; 0 on other
 * architectures. CPUID can cost microseconds under a hypervisor: ask once and keep the answer.
 */
uint32_t dcsfl_cpu_features(void);

#endif
