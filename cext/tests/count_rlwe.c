/*
 * What rlwe costs on every target that runs here, in ticks of the time stamp counter a value: 20 polynomials of two
 * 19-bit fields a coefficient, six bits dropped, as 16-bit values of 8 clients are laid out. The emulator's counter
 * counts instructions, so that targets can be compared which no machine at hand can time; a processor's runs at a
 * fixed frequency.
 */
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "../cpu.h"
#include "../dispatch.h"
#include "../pack/coefficients.h"
#include "../rlwe/vector.h"

enum { LOG2_DEGREE = 11, DEGREE = 1 << LOG2_DEGREE, POLYNOMIALS = 20, COEFFICIENTS = POLYNOMIALS * DEGREE };
enum { FIELD_BITS = 19, FIELDS = 2, DROPPED_BITS = 6, VALUES = FIELDS * COEFFICIENTS, RUNS = 3 };

static float values[VALUES];
static uint32_t fields[VALUES];
static uint64_t polynomials[COEFFICIENTS], factor[DEGREE], sums[COEFFICIENTS];
static uint8_t packed[COEFFICIENTS * (DCSFL_Q_BITS - DROPPED_BITS) / 8];

/* Each the fewest of RUNS runs. */
struct ticks {
    uint64_t expand, quantise, encrypt, decrypt, dequantise;
};

static void lower(uint64_t *fewest, uint64_t *since) {
    const uint64_t now = __rdtsc(), taken = now - *since;

    if (taken < *fewest)
        *fewest = taken;
    *since = __rdtsc();
}

/* 0, or -1 if memory is short. */
static int count(const struct dcsfl_target *target, const struct dcsfl_ring *ring, struct ticks *fewest) {
    static const uint8_t seed[DCSFL_SEED_BYTES] = {3};
    const struct dcsfl_quantiser quantiser = {32767.0, 32767, 32768};
    const struct dcsfl_dequantiser dequantiser = {1 / 32767.0, 32768};
    const struct dcsfl_rlwe_layout layout = {{FIELD_BITS, FIELDS, sizeof(uint64_t)}, DROPPED_BITS};
    const struct dcsfl_rlwe_masks masks = {ring, polynomials, factor};
    const struct dcsfl_stream public = {seed, 8, 0}, errors = {seed, 7, 0};
    uint64_t since = __rdtsc();

    target->sample->uniform_var(polynomials, COEFFICIENTS, &public);
    lower(&fewest->expand, &since);
    (void)target->codec->quantise(&quantiser, fields, values, VALUES);
    lower(&fewest->quantise, &since);
    if (dcsfl_rlwe_encrypt(target, &masks, &layout, &errors, packed, fields, VALUES) != 0)
        return -1;
    lower(&fewest->encrypt, &since);
    if (dcsfl_rlwe_decrypt(target, &masks, &layout, fields, sums, VALUES) != 0)
        return -1;
    lower(&fewest->decrypt, &since);
    target->codec->dequantise(&dequantiser, values, fields, VALUES);
    lower(&fewest->dequantise, &since);
    return 0;
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    struct dcsfl_ring *ring = dcsfl_ring_new(LOG2_DEGREE);
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);
    int status = ring == NULL ? -1 : 0;

    for (size_t i = 0; i < DEGREE; i++)
        factor[i] = i;
    for (size_t t = 0; t < target_count && status == 0; t++) {
        struct ticks ticks = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
        if (!dcsfl_target_runs(&targets[t], features))
            continue;
        for (int run = 0; run < RUNS && status == 0; run++)
            status = count(&targets[t], ring, &ticks);
        (void)printf("%s: expand %.1f, quantise %.1f, encrypt %.1f, decrypt %.1f, dequantise %.1f ticks a value\n",
                     targets[t].name, (double)ticks.expand / VALUES, (double)ticks.quantise / VALUES,
                     (double)ticks.encrypt / VALUES, (double)ticks.decrypt / VALUES,
                     (double)ticks.dequantise / VALUES);
    }
    dcsfl_ring_free(ring);
    return status != 0;
}
