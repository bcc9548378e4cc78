/* Powers of every target of cext/bigint that runs here, by windows and by tables, against the slow numbers of oracle.h. */
#include "bigint_check.h"

static struct number power_modulo(const struct number *base, uint32_t exponent, const struct number *m) {
    struct number power = small_number(1);

    for (unsigned bit = 32; bit-- > 0;) {
        power = multiply_modulo(&power, &power, m);
        if ((exponent >> bit & 1) != 0)
            power = multiply_modulo(&power, base, m);
    }
    return power;
}

/* One lane of a number mod n^2 in n-adic form. */
static void put_element(const struct context *c, uint64_t *out, const struct number *a) {
    const size_t limbs = c->modulus.limbs;
    struct number low, high = divide(a, &c->n, &low);

    to_limbs(&low, out, limbs, 1, c->kernels->limb_bits);
    to_limbs(&high, out + limbs, limbs, 1, c->kernels->limb_bits);
}

static void check_power(const struct context *c, uint32_t exponent, unsigned bits) {
    const size_t limbs = c->modulus.limbs, lanes = c->kernels->lanes, words = dcsfl_element_words(c->kernels, limbs);
    uint64_t *workspace = allocate(DCSFL_POWER_ELEMENTS * words + dcsfl_scratch_words(c->kernels, limbs));
    uint64_t *element = allocate(words), *one = allocate(2 * limbs), *number = allocate(limbs);
    const struct number base = random_below(&c->square), r = modulo(&c->r, &c->square);
    const struct number shifted = multiply_modulo(&base, &r, &c->square), e = small_number(exponent);
    struct number expected = power_modulo(&base, exponent, &c->square);

    put_element(c, one, &shifted);
    dcsfl_limbs_spread(c->kernels, element, one, 2 * limbs);
    put_element(c, one, &r);
    to_limbs(&e, number, limbs, 1, c->kernels->limb_bits);
    dcsfl_power(c->kernels, &c->modulus, workspace, element, number, bits, one);
    expected = multiply_modulo(&expected, &r, &c->square);
    for (size_t lane = 0; lane < lanes; lane++) {
        const struct number got = value_of(c, element, lane);
        expect(c, compare(&got, &expected) == 0, "a power agrees with the oracle", lane);
    }
    free(number);
    free(one);
    free(element);
    free(workspace);
}

/* base^e by a table, for exponents of 3 bytes: 0, 1, the largest, then at random. n must be prime to 2 = base. */
static void check_fixed_base(const struct context *c, unsigned window_bits) {
    const struct dcsfl_bigint_kernels *kernels = c->kernels;
    const size_t limbs = c->modulus.limbs, digits = dcsfl_fixed_base_digits(24, window_bits), part = limbs * kernels->lanes;
    const size_t words = dcsfl_element_words(kernels, limbs), count = kernels->picks + 3;
    const size_t groups = (count + kernels->lanes - 1) / kernels->lanes;
    const struct number one = small_number(1), two = small_number(2), r = modulo(&c->r, &c->square);
    const size_t row_bytes = dcsfl_fixed_base_row_bytes(kernels, limbs, window_bits);
    uint64_t *workspace = allocate(DCSFL_BUILD_ELEMENTS * words + dcsfl_scratch_words(kernels, limbs));
    uint64_t *rows = allocate(digits * row_bytes / sizeof *rows), *constants = allocate(5 * limbs + 2);
    uint64_t *states = allocate(groups * dcsfl_state_words(kernels, limbs));
    const struct dcsfl_base base = {constants, constants + 2 * limbs, constants + 3 * limbs, constants + 4 * limbs};
    const struct dcsfl_fixed_base table = {digits, window_bits, (const uint8_t *)rows};
    struct number half = add(&c->n, &one), rest, a;
    uint8_t *exponents = malloc(3 * count);

    if (exponents == NULL)
        exit(2);
    for (size_t i = 0; i < 3 * count; i++)
        exponents[i] = i < 3 ? 0 : i < 6 ? i == 3 : i < 9 ? 0xff : (uint8_t)next_random();
    half = divide(&half, &two, &rest); /* 1/2 mod n */
    a = multiply_modulo(&two, &r, &c->square);
    put_element(c, constants, &a);
    a = multiply_modulo(&half, &r, &c->n);
    to_limbs(&a, constants + 2 * limbs, limbs, 1, kernels->limb_bits);
    a = modulo(&r, &c->n);
    to_limbs(&a, constants + 3 * limbs, limbs, 1, kernels->limb_bits);
    a = multiply(&c->r, &c->r);
    a = divide(&a, &c->n, &rest);
    to_limbs(&a, constants + 4 * limbs, limbs + 2, 1, kernels->limb_bits);
    dcsfl_fixed_base_build(kernels, &c->modulus, workspace, (uint8_t *)rows, digits, window_bits, &base);
    dcsfl_fixed_base_power(kernels, &c->modulus, workspace, states, &table, exponents, 3, count);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *state = states + i / kernels->lanes * 3 * part;
        const size_t lane = i % kernels->lanes;
        const uint32_t exponent = exponents[3 * i] | (uint32_t)exponents[3 * i + 1] << 8 |
                                  (uint32_t)exponents[3 * i + 2] << 16;
        const struct number x0 = lane_of(c, state, limbs, lane), w = lane_of(c, state + part, limbs, lane);
        const struct number s = lane_of(c, state + 2 * part, limbs, lane), got = value_of_state(c, &x0, &s, &w);
        const struct number expected = power_modulo(&two, exponent, &c->square);
        expect(c, compare(&got, &expected) == 0, "a power of a fixed base agrees with the oracle", i);
    }
    free(exponents);
    free(states);
    free(constants);
    free(rows);
    free(workspace);
}

/* As many factors as an exponent may take: the limbs of their shares' sum must not overflow on the way. */
static void check_many_factors(const struct context *c) {
    const size_t limbs = c->modulus.limbs, lanes = c->kernels->lanes, part = limbs * lanes;
    const struct number factors = small_number(1024);
    struct number largest = c->n, expected;
    uint64_t *state = allocate(3 * part), *factor = allocate(3 * part);
    uint64_t *scratch = allocate(dcsfl_scratch_words(c->kernels, limbs));

    largest.word[0] -= 1; /* n is odd */
    expected = multiply(&largest, &factors);
    memset(state, 0, 3 * part * sizeof *state);
    memset(factor, 0, 3 * part * sizeof *factor);
    for (size_t lane = 0; lane < lanes; lane++)
        put_lane(c, factor + 2 * part, &largest, limbs, lane);
    for (size_t i = 0; i < 1024; i++)
        c->kernels->advance(&c->modulus, scratch, state, factor);
    dcsfl_limbs_carry(c->kernels, state + 2 * part, limbs);
    for (size_t lane = 0; lane < lanes; lane++) {
        const struct number sum = lane_of(c, state + 2 * part, limbs, lane);
        expect(c, compare(&sum, &expected) == 0, "the sum of 1,024 shares is exact", lane);
    }
    free(scratch);
    free(factor);
    free(state);
}

static void check_powers(struct context *c) {
    struct number top = power_of_two(c->bits - 1), n = random_below(&top);

    n.word[0] |= 1;
    n = add(&n, &top);
    open_modulus(c, &n);
    for (unsigned window_bits = DCSFL_MIN_WINDOW_BITS; window_bits <= DCSFL_MAX_WINDOW_BITS; window_bits += 2)
        check_fixed_base(c, window_bits);
    check_many_factors(c);
    check_power(c, 0, 20);
    check_power(c, 0xfedcb, 20);
    check_power(c, 0x12345, 23);
    close_modulus(c);
}

static void check_kernels(const char *name, const struct dcsfl_bigint_kernels *kernels) {
    static struct context context;

    context.target = name;
    context.kernels = kernels;
    context.bits = 1024;
    check_powers(&context);
    (void)printf("%s: checked\n", name);
}

int main(int argc, char **argv) {
    return check_targets(check_kernels, argc > 1 ? argv[1] : NULL);
}
