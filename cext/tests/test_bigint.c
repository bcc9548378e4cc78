/*
 * Products, tables and bytes of every target of cext/bigint that runs here against the slow numbers of oracle.h: sizes
 * of n and of its factors over the range of keys, values at the ends of what the contracts allow, buffers of the exact
 * size.
 */
#include "bigint_check.h"

/* --- products ----------------------------------------------------------------------------------------------------- */

static void expect_product(const struct context *c, const uint64_t *out, const uint64_t *left, const uint64_t *right,
                           const char *claim, size_t lane) {
    const size_t limbs = c->modulus.limbs, half = limbs * c->kernels->lanes;
    const struct number x = value_of(c, left, lane), y = value_of(c, right, lane), z = value_of(c, out, lane);
    const struct number expected = multiply_modulo(&x, &y, &c->square), got = multiply_modulo(&z, &c->r, &c->square);
    const struct number z0 = lane_of(c, out, limbs, lane), z1 = lane_of(c, out + half, limbs, lane);

    expect(c, compare(&got, &expected) == 0, claim, lane);
    expect(c, below(c, &z0, 2, 0) && below(c, &z1, 2, 2), "a product is in its range", lane);
}

static void check_products(const struct context *c) {
    const size_t limbs = c->modulus.limbs, lanes = c->kernels->lanes, words = dcsfl_element_words(c->kernels, limbs);
    uint64_t *left = allocate(words), *right = allocate(words), *out = allocate(words);

    for (size_t turn = 0; turn < (lanes == 1 ? 14 : 3); turn++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            const size_t which = turn * lanes + lane;
            const struct number x0 = edge_below(c, 16, which), x1 = edge_below(c, 16, which / 2);
            const struct number y0 = edge_below(c, 16, which + 4), y1 = edge_below(c, 16, which / 3);
            put_lane(c, left, &x0, limbs, lane);
            put_lane(c, left + limbs * lanes, &x1, limbs, lane);
            put_lane(c, right, &y0, limbs, lane);
            put_lane(c, right + limbs * lanes, &y1, limbs, lane);
        }
        c->kernels->multiply(&c->modulus, c->scratch, out, left, right);
        for (size_t lane = 0; lane < lanes; lane++)
            expect_product(c, out, left, right, "multiply agrees with the oracle", lane);
        c->kernels->square(&c->modulus, c->scratch, out, left);
        for (size_t lane = 0; lane < lanes; lane++)
            expect_product(c, out, left, left, "square agrees with the oracle", lane);
        memcpy(out, right, words * sizeof *out);
        c->kernels->multiply(&c->modulus, c->scratch, out, left, out);
        for (size_t lane = 0; lane < lanes; lane++)
            expect_product(c, out, left, right, "multiply writes over a factor", lane);
    }
    /* A chunk that enters: any number below R, by halves below n. */
    for (size_t lane = 0; lane < lanes; lane++) {
        const struct number one = small_number(1), zero = small_number(0);
        struct number x0 = c->r, y0 = c->n;
        subtract_from(&x0, &one);
        subtract_from(&y0, &one);
        put_lane(c, left, &x0, limbs, lane);
        put_lane(c, left + limbs * lanes, &zero, limbs, lane);
        put_lane(c, right, &y0, limbs, lane);
        put_lane(c, right + limbs * lanes, &y0, limbs, lane);
    }
    c->kernels->multiply(&c->modulus, c->scratch, out, left, right);
    for (size_t lane = 0; lane < lanes; lane++)
        expect_product(c, out, left, right, "multiply takes a chunk", lane);
    free(out);
    free(right);
    free(left);
}

static void check_residues(const struct context *c) {
    const size_t limbs = c->modulus.limbs, lanes = c->kernels->lanes;
    const struct number four = small_number(4);
    uint64_t *left = allocate(limbs * lanes), *right = allocate(limbs * lanes), *out = allocate(limbs * lanes);

    for (size_t turn = 0; turn < (lanes == 1 ? 14 : 3); turn++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            const size_t which = turn * lanes + lane;
            const struct number x = edge_below(c, 16, which), y = edge_below(c, 16, which / 2 + 4);
            put_lane(c, left, &x, limbs, lane);
            put_lane(c, right, &y, limbs, lane);
        }
        c->kernels->multiply_residues(&c->modulus, c->scratch, out, left, right);
        for (size_t lane = 0; lane < lanes; lane++) {
            const struct number x = lane_of(c, left, limbs, lane), y = lane_of(c, right, limbs, lane);
            const struct number z = lane_of(c, out, limbs, lane), expected = multiply_modulo(&x, &y, &c->n);
            const struct number got = multiply_modulo(&z, &c->r, &c->n), scaled = multiply(&z, &four);
            expect(c, compare(&got, &expected) == 0, "a product of residues agrees with the oracle", lane);
            expect(c, below(c, &scaled, 5, 0), "a product of residues is in its range", lane);
        }
        c->kernels->multiply_residues(&c->modulus, c->scratch, left, left, right);
        expect(c, memcmp(left, out, limbs * lanes * sizeof *out) == 0, "a product of residues writes over a factor",
               turn);
    }
    free(out);
    free(right);
    free(left);
}

static void check_advance(const struct context *c) {
    const size_t limbs = c->modulus.limbs, lanes = c->kernels->lanes, part = limbs * lanes;
    uint64_t *state = allocate(3 * part), *factor = allocate(3 * part), *before = allocate(3 * part);

    for (size_t turn = 0; turn < (lanes == 1 ? 14 : 3); turn++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            const size_t which = turn * lanes + lane;
            const struct number x0 = edge_below(c, 2, which), w = edge_below(c, 4, which / 2);
            const struct number s = edge_below(c, 16, which + 1), y0 = edge_below(c, 1, which + 5);
            const struct number v = edge_below(c, 1, which / 3 + 2);
            struct number shifted = multiply(&y0, &c->r), rest;
            shifted = divide(&shifted, &c->n, &rest);
            put_lane(c, state, &x0, limbs, lane);
            put_lane(c, state + part, &w, limbs, lane);
            put_lane(c, state + 2 * part, &s, limbs, lane);
            put_lane(c, factor, &y0, limbs, lane);
            put_lane(c, factor + part, &shifted, limbs, lane);
            put_lane(c, factor + 2 * part, &v, limbs, lane);
        }
        memcpy(before, state, 3 * part * sizeof *state);
        c->kernels->advance(&c->modulus, c->scratch, state, factor);
        for (size_t lane = 0; lane < lanes; lane++) {
            const struct number zero = small_number(0);
            const struct number x0 = lane_of(c, before, limbs, lane), w = lane_of(c, before + part, limbs, lane);
            const struct number s = lane_of(c, before + 2 * part, limbs, lane), y0 = lane_of(c, factor, limbs, lane);
            const struct number v = lane_of(c, factor + 2 * part, limbs, lane), z0 = lane_of(c, state, limbs, lane);
            const struct number z1 = lane_of(c, state + part, limbs, lane);
            const struct number sum = lane_of(c, state + 2 * part, limbs, lane);
            const struct number x = value_of_state(c, &x0, &s, &w), y = value_of_state(c, &y0, &v, &zero);
            const struct number expected = multiply_modulo(&x, &y, &c->square);
            const struct number got = value_of_state(c, &z0, &sum, &z1);
            expect(c, compare(&got, &expected) == 0, "advance agrees with the oracle", lane);
            expect(c, below(c, &z0, 2, 0) && below(c, &z1, 4, 0), "an advanced state is in its range", lane);
        }
    }
    free(before);
    free(factor);
    free(state);
}

static void check_multiply_add(const struct context *c, size_t factor_limbs, size_t constant_limbs) {
    const size_t lanes = c->kernels->lanes, out_limbs = factor_limbs + constant_limbs;
    const uint64_t largest = (UINT64_C(1) << c->kernels->limb_bits) - 1;
    uint64_t *factor = allocate(factor_limbs * lanes), *constant = allocate(constant_limbs);
    uint64_t *addend = allocate(factor_limbs * lanes), *out = allocate(out_limbs * lanes);

    for (size_t j = 0; j < constant_limbs; j++)
        constant[j] = j % 3 == 0 ? largest : next_random() & largest;
    for (size_t i = 0; i < factor_limbs * lanes; i++) {
        factor[i] = i % lanes == 0 ? largest : next_random() & largest;
        addend[i] = i % lanes == 0 ? largest : next_random() & largest;
    }
    c->kernels->multiply_add(c->scratch, out, factor, factor_limbs, constant, constant_limbs, addend, factor_limbs);
    for (size_t lane = 0; lane < lanes; lane++) {
        const struct number a = lane_of(c, factor, factor_limbs, lane), d = lane_of(c, addend, factor_limbs, lane);
        const struct number b = from_limbs(constant, constant_limbs, 1, c->kernels->limb_bits);
        const struct number got = lane_of(c, out, out_limbs, lane);
        struct number expected = multiply(&a, &b);
        expected = add(&expected, &d);
        expect(c, compare(&got, &expected) == 0, "multiply_add agrees with the oracle", lane);
    }
    free(out);
    free(addend);
    free(constant);
    free(factor);
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static void check_table(const struct context *c, size_t limbs, unsigned window_bits) {
    const struct dcsfl_bigint_kernels *kernels = c->kernels;
    const size_t lanes = kernels->lanes, words = limbs * lanes, entries = (size_t)1 << window_bits;
    const uint64_t largest = (UINT64_C(1) << kernels->limb_bits) - 1;
    uint64_t *numbers = allocate(entries * words), *out = allocate(kernels->picks / lanes * words);
    uint64_t *row = allocate(dcsfl_row_bytes(kernels, limbs, window_bits) / sizeof *row);
    uint8_t digits[DCSFL_BIGINT_MAX_PICKS];
    const size_t lane = lanes - 1;

    for (size_t i = 0; i < entries * words; i++)
        numbers[i] = i % 5 == 0 ? largest : next_random() & largest;
    for (size_t first = 0; first < entries; first += DCSFL_PUT_ENTRIES)
        kernels->put((uint8_t *)row, limbs, window_bits, first, numbers + first * words, lane);
    for (size_t first = 0; first < entries; first += kernels->picks) {
        int agree = 1;
        for (size_t l = 0; l < kernels->picks; l++)
            digits[l] = (uint8_t)((first + l * 37) % entries);
        kernels->pick(out, (const uint8_t *)row, limbs, window_bits, digits);
        for (size_t l = 0; l < kernels->picks; l++)
            for (size_t j = 0; j < limbs; j++)
                agree &= out[l / lanes * words + j * lanes + l % lanes] ==
                         numbers[digits[l] * words + j * lanes + lane];
        expect(c, agree, "pick finds what put wrote", first);
    }
    for (size_t index = 0; index < entries; index += 7) {
        kernels->scan(out, numbers, words, entries, (uint32_t)index);
        expect(c, memcmp(out, numbers + index * words, words * sizeof *out) == 0, "scan finds its entry", index);
    }
    free(row);
    free(out);
    free(numbers);
}

/* --- bytes and last reductions ------------------------------------------------------------------------------------ */

static void check_bytes(const struct context *c) {
    const size_t byte_count = c->bits / 4, limbs = 2 * c->modulus.limbs, lanes = c->kernels->lanes;
    uint8_t *bytes = malloc(byte_count), *again = malloc(byte_count);
    uint64_t *number = allocate(limbs * lanes);

    if (bytes == NULL || again == NULL)
        exit(2);
    for (size_t lane = 0; lane < lanes; lane++) {
        for (size_t i = 0; i < byte_count; i++)
            bytes[i] = lane == 0 ? 0xff : (uint8_t)next_random();
        dcsfl_limbs_load(c->kernels, number, limbs, lane, bytes, byte_count, 0);
        dcsfl_limbs_store(c->kernels, again, byte_count, number, limbs, lane);
        expect(c, memcmp(bytes, again, byte_count) == 0, "limbs hold the bytes they were loaded from", lane);
    }
    free(number);
    free(again);
    free(bytes);
}

static void check_canonical(const struct context *c) {
    const size_t limbs = c->modulus.limbs, lanes = c->kernels->lanes, words = dcsfl_element_words(c->kernels, limbs);
    const struct number two = small_number(2);
    uint64_t *element = allocate(words), *before = allocate(words);

    for (size_t turn = 0; turn < (lanes == 1 ? 7 : 1); turn++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            struct number low = edge_below(c, 2, turn + lane), high = edge_below(c, 2, 2 * turn + lane + 4);
            if (!below(c, &high, 1, 0))
                subtract_from(&high, &two); /* at most 2n - 2: a carry from below still fits */
            put_lane(c, element, &low, limbs, lane);
            put_lane(c, element + limbs * lanes, &high, limbs, lane);
        }
        memcpy(before, element, words * sizeof *element);
        dcsfl_nadic_canonicalise(c->kernels, &c->modulus, element);
        for (size_t lane = 0; lane < lanes; lane++) {
            const struct number was = value_of(c, before, lane), is = value_of(c, element, lane);
            const struct number low = lane_of(c, element, limbs, lane);
            const struct number high = lane_of(c, element + limbs * lanes, limbs, lane);
            expect(c, compare(&was, &is) == 0, "the canonical form is of the same number", lane);
            expect(c, below(c, &low, 1, 0) && below(c, &high, 1, 0), "the canonical form is below n", lane);
        }
    }
    free(before);
    free(element);
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

static void check_modulus(struct context *c, const struct number *n) {
    open_modulus(c, n);
    check_products(c);
    check_residues(c);
    check_advance(c);
    check_canonical(c);
    check_bytes(c);
    check_multiply_add(c, c->modulus.limbs, c->modulus.limbs);
    check_multiply_add(c, 2 * c->modulus.limbs, 2 * c->modulus.limbs);
    close_modulus(c);
}

static void check_size(struct context *c) {
    const struct number one = small_number(1), two_more = small_number(3);
    struct number n = power_of_two(c->bits - 1), top = power_of_two(c->bits - 1), some;

    some = random_below(&top);
    some.word[0] |= 1;
    some = add(&some, &top);
    check_modulus(c, &some);
    if (c->bits > 3072)
        return; /* the oracle is slow */
    n = add(&n, &one); /* the least n of that size */
    check_modulus(c, &n);
    n = power_of_two(c->bits); /* and the largest but one */
    subtract_from(&n, &two_more);
    check_modulus(c, &n);
}

static void check_kernels(const char *name, const struct dcsfl_bigint_kernels *kernels) {
    static const size_t sizes[] = {1024, 1152, 1536, 2048, 2304, 3072, 8192};
    static struct context context;

    context.target = name;
    context.kernels = kernels;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        context.bits = sizes[i];
        check_size(&context);
    }
    for (unsigned window_bits = DCSFL_MIN_WINDOW_BITS; window_bits <= DCSFL_MAX_WINDOW_BITS; window_bits++)
        check_table(&context, 11, window_bits);
    (void)printf("%s: checked\n", name);
}

int main(int argc, char **argv) {
    return check_targets(check_kernels, argc > 1 ? argv[1] : NULL);
}
