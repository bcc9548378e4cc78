/* The checksum in plain C11: a block's products are added up in 128 bits and reduced once. */
#include "checksum.h"

#include "../bytes.h"
#include "../verify.h"
#include "../wide.h"
#include "../wipe.h"

/* Coefficients and powers are below 2^61, so 2^6 products fit 128 bits. */
enum { BLOCK = 64 };

/* The same mod p, one bit longer than p at most for anything of 62 bits: [0, 2^62 - 1) goes to [0, p]. */
static inline uint64_t fold(uint64_t v) {
    return (v & DCSFL_CHECKSUM_P) + (v >> 61);
}

/* The same mod p, in [0, p]: three digits of base 2^61 add up to less than 2^62 + 2^6. */
static inline uint64_t reduce(struct dcsfl_wide v) {
    const uint64_t middle = (v.low >> 61 | v.high << 3) & DCSFL_CHECKSUM_P;

    return fold(fold((v.low & DCSFL_CHECKSUM_P) + middle + (v.high >> 58)));
}

/* a b mod p, in [0, p], for a, b in [0, p]. */
static inline uint64_t multiply(uint64_t a, uint64_t b) {
    const struct dcsfl_wide zero = {0, 0};

    return reduce(dcsfl_add_product(zero, a, b));
}

/* In [0, p), for v in [0, p]. */
static inline uint64_t canonical(uint64_t v) {
    const uint64_t difference = v - DCSFL_CHECKSUM_P;

    return difference + (DCSFL_CHECKSUM_P & (0 - (difference >> 63)));
}

/* sum of c_j powers[j] over `count` fields, at most BLOCK coefficients of two. */
static uint64_t sum_paired(const uint64_t *powers, const uint32_t *fields, size_t count) {
    struct dcsfl_wide sum = {0, 0};
    size_t j = 0;

    for (; j < count / 2; j++)
        sum = dcsfl_add_product(sum, (uint64_t)fields[2 * j + 1] << 32 | fields[2 * j], powers[j]);
    if (count % 2 != 0)
        sum = dcsfl_add_product(sum, fields[2 * j], powers[j]);
    return reduce(sum);
}

/* The same for coefficients of one field. */
static uint64_t sum_single(const uint64_t *powers, const uint32_t *fields, size_t count) {
    struct dcsfl_wide sum = {0, 0};

    for (size_t j = 0; j < count; j++)
        sum = dcsfl_add_product(sum, fields[j], powers[j]);
    return reduce(sum);
}

static uint64_t checksum(const uint8_t *point, const uint32_t *fields, size_t count, uint32_t field_bits) {
    const int is_paired = field_bits <= DCSFL_CHECKSUM_PAIRED_BITS;
    const size_t block_fields = is_paired ? 2 * BLOCK : BLOCK;
    const struct dcsfl_wide wide_point = {dcsfl_load_le64(point + 8), dcsfl_load_le64(point)};
    uint64_t powers[BLOCK]; /* x, x^2, ... */
    uint64_t step = 1;      /* x^(coefficients before the block) */
    uint64_t total = 0;

    DCSFL_VERIFY(field_bits >= 1 && field_bits <= 32);
    DCSFL_VERIFY((uintptr_t)fields % _Alignof(uint32_t) == 0);
    DCSFL_VERIFY(count == 0 || fields != NULL);
    powers[0] = reduce(wide_point);
    for (size_t j = 1; j < BLOCK; j++)
        powers[j] = multiply(powers[j - 1], powers[0]);
    while (count > 0) {
        const size_t take = count < block_fields ? count : block_fields;
        const uint64_t part = is_paired ? sum_paired(powers, fields, take) : sum_single(powers, fields, take);
        total = fold(total + multiply(step, part));
        step = multiply(step, powers[BLOCK - 1]);
        fields += take;
        count -= take;
    }
    dcsfl_wipe(powers, sizeof powers);
    return canonical(total);
}

const struct dcsfl_checksum_kernels dcsfl_checksum_portable = {checksum};
