/*
 * cover, uncover and reduce of every target that runs here against the formulas of ring.h, written with divisions:
 * all pairs of widths, counts around the vector lengths, values at every border, exact-size heap buffers.
 */
#include "ring_check.h"

static uint64_t ciphertext_modulus(unsigned dropped_bits) {
    return dropped_bits == 0 ? DCSFL_Q : UINT64_C(63) << (44 - dropped_bits);
}

static uint64_t half_of(unsigned dropped_bits) {
    return dropped_bits == 0 ? 0 : UINT64_C(1) << (dropped_bits - 1);
}

static uint64_t oracle_cover(const struct dcsfl_ring_scale *scale, uint64_t mask, int8_t error, uint64_t word) {
    uint64_t b = add_mod(mask, word * (UINT64_C(63) << (44 - scale->plaintext_bits)), DCSFL_Q);

    b = add_mod(b, error < 0 ? DCSFL_Q - (uint64_t)-error : (uint64_t)error, DCSFL_Q);
    b = add_mod(b, half_of(scale->dropped_bits), DCSFL_Q);
    return (b >> scale->dropped_bits) % ciphertext_modulus(scale->dropped_bits);
}

static uint64_t oracle_uncover(const struct dcsfl_ring_scale *scale, uint64_t mask, uint64_t sum) {
    const uint64_t modulus = ciphertext_modulus(scale->dropped_bits);
    const uint64_t step = UINT64_C(63) << (44 - scale->dropped_bits - scale->plaintext_bits);
    const uint64_t rounded = ((mask + half_of(scale->dropped_bits)) % DCSFL_Q) >> scale->dropped_bits;
    const uint64_t difference = add_mod(sum % modulus, modulus - rounded % modulus, modulus);

    return (difference + step / 2) / step % (UINT64_C(1) << scale->plaintext_bits);
}

/* Values at borders of [0, q), often; else random. */
static uint64_t any_mask(uint64_t *seed, unsigned dropped_bits) {
    const uint64_t near = next_random(seed) % 260, half = half_of(dropped_bits);

    switch (next_random(seed) >> 61) {
    case 0: return near;
    case 1: return DCSFL_Q - 1 - near;
    case 2: return DCSFL_Q - 1 - (half + near) % DCSFL_Q; /* half carries it over q, or just not */
    case 3: return (DCSFL_Q - half + near) % DCSFL_Q;
    default: return next_random(seed) % DCSFL_Q;
    }
}

static uint64_t any_word(uint64_t *seed, unsigned plaintext_bits) {
    const uint64_t most = (UINT64_C(1) << plaintext_bits) - 1;

    switch (next_random(seed) >> 62) {
    case 0: return next_random(seed) & 1 & most;
    case 1: return most - (next_random(seed) & 1 & most);
    default: return next_random(seed) & most;
    }
}

static int8_t any_error(uint64_t *seed) {
    switch (next_random(seed) >> 62) {
    case 0: return INT8_MIN;
    case 1: return INT8_MAX;
    default: return (int8_t)(int)(next_random(seed) % 256 - 128);
    }
}

/* Any 64-bit word; near multiples of Q', or where the rounding of a quotient by D turns, often. */
static uint64_t any_sum(uint64_t *seed, const struct dcsfl_ring_scale *scale, uint64_t mask) {
    const uint64_t modulus = ciphertext_modulus(scale->dropped_bits);
    const uint64_t step = UINT64_C(63) << (44 - scale->dropped_bits - scale->plaintext_bits);
    const uint64_t rounded = ((mask + half_of(scale->dropped_bits)) % DCSFL_Q) >> scale->dropped_bits;
    const uint64_t near = next_random(seed) % 5 - 2, random = next_random(seed);

    switch (next_random(seed) >> 61) {
    case 0: return random;
    case 1: return UINT64_MAX - (random >> 60);
    case 2: return random - random % modulus + near;
    case 3: return rounded + near;
    case 4: return rounded + random % modulus / step * step + step / 2 + near;
    case 5: return rounded + (random >> 56) * modulus - step / 2 + near;
    case 6: return (random >> 63) * modulus - (random >> 62 & 1);
    default: return random % modulus;
    }
}

struct scene {
    size_t count;
    uint64_t *mask, *words, *sums, *out, *expected;
    int8_t *errors;
};

static struct scene new_scene(size_t count) {
    const struct scene scene = {
        .count = count,
        .mask = allocate_words(count),
        .words = allocate_words(count),
        .sums = allocate_words(count),
        .out = allocate_words(count),
        .expected = allocate_words(count),
        .errors = allocate(count),
    };
    return scene;
}

static void free_scene(const struct scene *s) {
    free(s->errors);
    free(s->expected);
    free(s->out);
    free(s->sums);
    free(s->words);
    free(s->mask);
}

static void check_scale(const struct dcsfl_target *target, const struct scene *s,
                        const struct dcsfl_ring_scale *scale) {
    const size_t bytes = s->count * sizeof(uint64_t);
    uint64_t seed = 1 + 64 * scale->plaintext_bits + scale->dropped_bits + 10000 * s->count;

    for (size_t i = 0; i < s->count; i++) {
        s->mask[i] = any_mask(&seed, scale->dropped_bits);
        s->words[i] = any_word(&seed, scale->plaintext_bits);
        s->errors[i] = any_error(&seed);
        s->sums[i] = any_sum(&seed, scale, s->mask[i]);
        s->expected[i] = oracle_cover(scale, s->mask[i], s->errors[i], s->words[i]);
    }
    memset(s->out, 0xa5, bytes);
    target->ring->cover(scale, s->out, s->count, s->mask, s->errors, s->words);
    expect(memcmp(s->out, s->expected, bytes) == 0, "cover agrees with the oracle", target->name,
           scale->plaintext_bits, scale->dropped_bits, s->count);
    memcpy(s->out, s->words, bytes);
    target->ring->cover(scale, s->out, s->count, s->mask, s->errors, s->out);
    expect(memcmp(s->out, s->expected, bytes) == 0, "cover onto the words", target->name, scale->plaintext_bits,
           scale->dropped_bits, s->count);
    memcpy(s->out, s->mask, bytes);
    target->ring->cover(scale, s->out, s->count, s->out, s->errors, s->words);
    expect(memcmp(s->out, s->expected, bytes) == 0, "cover onto the mask", target->name, scale->plaintext_bits,
           scale->dropped_bits, s->count);

    for (size_t i = 0; i < s->count; i++)
        s->expected[i] = oracle_uncover(scale, s->mask[i], s->sums[i]);
    memset(s->out, 0xa5, bytes);
    target->ring->uncover(scale, s->out, s->count, s->mask, s->sums);
    expect(memcmp(s->out, s->expected, bytes) == 0, "uncover agrees with the oracle", target->name,
           scale->plaintext_bits, scale->dropped_bits, s->count);
    memcpy(s->out, s->sums, bytes);
    target->ring->uncover(scale, s->out, s->count, s->mask, s->out);
    expect(memcmp(s->out, s->expected, bytes) == 0, "uncover onto the sums", target->name, scale->plaintext_bits,
           scale->dropped_bits, s->count);
    memcpy(s->out, s->mask, bytes);
    target->ring->uncover(scale, s->out, s->count, s->out, s->sums);
    expect(memcmp(s->out, s->expected, bytes) == 0, "uncover onto the mask", target->name, scale->plaintext_bits,
           scale->dropped_bits, s->count);

    for (size_t i = 0; i < s->count; i++)
        s->expected[i] = s->sums[i] % ciphertext_modulus(scale->dropped_bits);
    memcpy(s->out, s->sums, bytes);
    target->ring->reduce(scale->dropped_bits, s->out, s->count);
    expect(memcmp(s->out, s->expected, bytes) == 0, "reduce agrees with the oracle", target->name,
           scale->plaintext_bits, scale->dropped_bits, s->count);
}

static void check_target(const struct dcsfl_target *target) {
    const size_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 203, 2047, 2048, 2049};

    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        const struct scene scene = new_scene(counts[c]);
        const unsigned apart = counts[c] < 1000 ? 1 : 4; /* the large counts on every fourth width */
        for (unsigned plaintext_bits = 0; plaintext_bits <= 44; plaintext_bits += apart)
            for (unsigned dropped_bits = 0; dropped_bits + plaintext_bits <= 44; dropped_bits += apart) {
                const struct dcsfl_ring_scale scale = {plaintext_bits, dropped_bits};
                check_scale(target, &scene, &scale);
            }
        free_scene(&scene);
    }
}

/* An argument names the one target to check: an emulator may get others wrong, or take long over them. */
int main(int argc, char **argv) {
    return check_targets(check_target, argc > 1 ? argv[1] : NULL);
}
