/* Paillier on batches of rows, the same for every target. */
#include "paillier.h"

#include <string.h>

#include "../verify.h"
#include "limbs.h"

#define BLOCK_ROWS 256 /* rows that share one pass over the table; their states take 0.4 MB at 3,072 bits */

/* Elements of the larger modulus; two blocks of elements mod p^2 and q^2 take no more than one mod n^2 and some. */
size_t dcsfl_paillier_workspace_words(const struct dcsfl_bigint_kernels *kernels, size_t modulus_bits) {
    const size_t limbs = dcsfl_paillier_limbs(kernels, modulus_bits);
    const size_t prime_limbs = dcsfl_paillier_prime_limbs(kernels, modulus_bits);
    const size_t groups = BLOCK_ROWS / kernels->lanes;
    const size_t public_words = groups * dcsfl_state_words(kernels, limbs) +
                                (DCSFL_BUILD_ELEMENTS + 16) * dcsfl_element_words(kernels, limbs) +
                                dcsfl_scratch_words(kernels, limbs);
    const size_t secret_words = 2 * groups * dcsfl_state_words(kernels, prime_limbs) +
                                (DCSFL_BUILD_ELEMENTS + 24) * dcsfl_element_words(kernels, prime_limbs) +
                                2 * dcsfl_scratch_words(kernels, prime_limbs);

    return public_words > secret_words ? public_words : secret_words;
}

/* A batch of one modulus: where its arrays lie. */
struct batch {
    const struct dcsfl_bigint_kernels *kernels;
    const struct dcsfl_modulus *modulus;
    size_t words;      /* of an element */
    uint64_t *product; /* an element; the first of DCSFL_FIXED_POWER_ELEMENTS before scratch */
    uint64_t *spare;   /* another: a constant, spread */
    uint64_t *scratch;
};

/* The arrays of `batch` come first in the workspace; returns what is left of it. */
static uint64_t *open_batch(struct batch *batch, const struct dcsfl_bigint_kernels *kernels,
                            const struct dcsfl_modulus *modulus, uint64_t *workspace) {
    batch->kernels = kernels;
    batch->modulus = modulus;
    batch->words = dcsfl_element_words(kernels, modulus->limbs);
    batch->product = workspace;
    batch->spare = batch->product + batch->words;
    batch->scratch = batch->product + DCSFL_FIXED_POWER_ELEMENTS * batch->words;
    return batch->scratch + dcsfl_scratch_words(kernels, modulus->limbs);
}

static uint64_t *high_half(const struct batch *batch, uint64_t *element) {
    return element + batch->words / 2;
}

/* out <- element * constant / R, the constant of one lane. */
static void multiply_constant(const struct batch *batch, uint64_t *out, const uint64_t *element,
                              const uint64_t *constant) {
    dcsfl_limbs_spread(batch->kernels, batch->spare, constant, 2 * batch->modulus->limbs);
    batch->kernels->multiply(batch->modulus, batch->scratch, out, element, batch->spare);
}

/* sum += addend, half by half. */
static void add_element(const struct batch *batch, uint64_t *sum, const uint64_t *addend) {
    const size_t limbs = batch->modulus->limbs;

    dcsfl_limbs_add(batch->kernels, sum, addend, limbs);
    dcsfl_limbs_add(batch->kernels, sum + batch->words / 2, addend + batch->words / 2, limbs);
}

/*
 * element <- sum of chunk i of each row times constants[i] / R, a chunk being L limbs of the row and constants `stride`
 * words apart. A row past the last is 0.
 */
static void enter(const struct batch *batch, uint64_t *element, const uint8_t *rows, size_t row_bytes, size_t count,
                  const uint64_t *constants, size_t chunks) {
    const struct dcsfl_bigint_kernels *kernels = batch->kernels;
    const size_t limbs = batch->modulus->limbs;

    for (size_t i = 0; i < chunks; i++) {
        uint64_t *chunk = i == 0 ? element : batch->product;
        memset(chunk, 0, batch->words * sizeof *chunk);
        for (size_t lane = 0; lane < count; lane++)
            dcsfl_limbs_load(kernels, chunk, limbs, lane, rows + lane * row_bytes, row_bytes,
                             i * limbs * kernels->limb_bits);
        multiply_constant(batch, chunk, chunk, constants + 2 * limbs * i);
        if (i != 0)
            add_element(batch, element, chunk);
    }
}

/* (1, 0) in every lane. */
static void set_one(const struct batch *batch, uint64_t *element) {
    memset(element, 0, batch->words * sizeof *element);
    for (size_t lane = 0; lane < batch->kernels->lanes; lane++)
        element[lane] = 1;
}

/* wide[2 * L] <- the number in [0, n^2) that a canonical element stands for. */
static void leave(const struct batch *batch, uint64_t *wide, const uint64_t *element) {
    const size_t limbs = batch->modulus->limbs;

    batch->kernels->multiply_add(batch->scratch, wide, element + batch->words / 2, limbs, batch->modulus->n, limbs,
                                 element, limbs);
}

static void store_rows(const struct batch *batch, uint8_t *out, size_t row_bytes, size_t count, const uint64_t *wide,
                       size_t limbs) {
    for (size_t lane = 0; lane < count; lane++)
        dcsfl_limbs_store(batch->kernels, out + lane * row_bytes, row_bytes, wide, limbs, lane);
}

static size_t at_most(size_t count, size_t limit) {
    return count < limit ? count : limit;
}

/* --- encrypt ------------------------------------------------------------------------------------------------------ */

/*
 * The first element of state <- canonical x (1 + m n), for the x that it stands for and m in message[L].
 * shift: a lane of R^2.
 */
static void finish_state(const struct batch *batch, uint64_t *state, const uint64_t *message, const uint64_t *shift) {
    const size_t limbs = batch->modulus->limbs, half = batch->words / 2;
    uint64_t *sum = state + batch->words;

    dcsfl_limbs_carry(batch->kernels, sum, limbs);
    dcsfl_limbs_add(batch->kernels, sum, message, limbs);
    /* x = x0 (1 + s n) + w n, so x (1 + m n) = (x0 + w n) (1 + (s + m) n); s + m <= n R / 4 / 2n, below R / 8. */
    set_one(batch, batch->spare);
    memcpy(batch->spare + half, sum, half * sizeof *sum);
    batch->kernels->multiply(batch->modulus, batch->scratch, state, state, batch->spare);
    multiply_constant(batch, state, state, shift);
    dcsfl_nadic_canonicalise(batch->kernels, batch->modulus, state);
}

static void encrypt_block(const struct batch *batch, const struct dcsfl_paillier_public *key,
                          const struct dcsfl_fixed_base *table, size_t modulus_bits, uint64_t *states, uint8_t *out,
                          const uint8_t *words, const uint8_t *randomisers, size_t count) {
    const size_t lanes = batch->kernels->lanes, limbs = batch->modulus->limbs;
    const size_t word_bytes = modulus_bits / 8, row_bytes = modulus_bits / 4;

    dcsfl_fixed_base_power(batch->kernels, batch->modulus, batch->product, states, table, randomisers,
                           modulus_bits / 16, count);
    for (size_t first = 0; first < count; first += lanes) {
        const size_t rows = at_most(count - first, lanes);
        uint64_t *state = states + first / lanes * dcsfl_state_words(batch->kernels, limbs);
        memset(batch->product, 0, batch->words * sizeof *batch->product);
        for (size_t lane = 0; lane < rows; lane++)
            dcsfl_limbs_load(batch->kernels, batch->product, limbs, lane, words + (first + lane) * word_bytes,
                             word_bytes, 0);
        finish_state(batch, state, batch->product, key->powers + 2 * limbs);
        leave(batch, batch->product, state);
        store_rows(batch, out + first * row_bytes, row_bytes, rows, batch->product, 2 * limbs);
    }
}

void dcsfl_paillier_encrypt(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_paillier_public *key,
                            const struct dcsfl_fixed_base *table, size_t modulus_bits, uint64_t *workspace,
                            uint8_t *out, const uint8_t *words, const uint8_t *randomisers, size_t count) {
    struct batch batch;
    uint64_t *states = open_batch(&batch, kernels, &key->modulus, workspace);

    for (size_t first = 0; first < count; first += BLOCK_ROWS)
        encrypt_block(&batch, key, table, modulus_bits, states, out + first * (modulus_bits / 4),
                      words + first * (modulus_bits / 8), randomisers + first * (modulus_bits / 16),
                      at_most(count - first, BLOCK_ROWS));
}

/* The first element of states <- canonical (1 + m n) h^r mod p^2 of `count` rows. */
static void encrypt_mod_prime(const struct batch *batch, const struct dcsfl_paillier_prime *prime,
                              const struct dcsfl_fixed_base *table, size_t modulus_bits, uint64_t *states,
                              uint64_t *message, const uint8_t *words, const uint8_t *randomisers, size_t count) {
    const size_t lanes = batch->kernels->lanes, limbs = batch->modulus->limbs, word_bytes = modulus_bits / 8;

    dcsfl_fixed_base_power(batch->kernels, batch->modulus, batch->product, states, table, randomisers,
                           modulus_bits / 16, count);
    for (size_t first = 0; first < count; first += lanes) {
        /* 1 + m n = 1 + (m q) p; m q mod p is the low half of what enters. */
        enter(batch, message, words + first * word_bytes, word_bytes, at_most(count - first, lanes), prime->message, 2);
        finish_state(batch, states + first / lanes * dcsfl_state_words(batch->kernels, limbs), message,
                     prime->powers + 2 * limbs);
    }
}

/*
 * Store c = c_p + p^2 * ((c_q - c_p) / p^2 mod q^2) for the lanes of two canonical elements, c_p mod p^2, c_q mod q^2.
 * spare: 5 elements.
 */
static void join(const struct batch *p_batch, const struct batch *q_batch, const struct dcsfl_paillier_joint *joint,
                 uint64_t *spare, const uint64_t *element_p, const uint64_t *element_q, size_t modulus_bits,
                 uint8_t *out, size_t count) {
    const size_t limbs = q_batch->modulus->limbs, words = q_batch->words, row_bytes = modulus_bits / 4;
    uint64_t *number_p = spare, *sum = number_p + words, *chunk = sum + words, *wide = chunk + words;

    leave(p_batch, number_p, element_p);
    multiply_constant(q_batch, sum, element_q, joint->encrypt_q);
    for (size_t i = 0; i < 2; i++) {
        memcpy(chunk, number_p + i * (words / 2), words / 2 * sizeof *chunk);
        memset(chunk + words / 2, 0, words / 2 * sizeof *chunk);
        multiply_constant(q_batch, chunk, chunk, joint->encrypt_p + 2 * limbs * i);
        add_element(q_batch, sum, chunk);
    }
    set_one(q_batch, q_batch->spare);
    q_batch->kernels->multiply(q_batch->modulus, q_batch->scratch, sum, sum, q_batch->spare);
    dcsfl_nadic_canonicalise(q_batch->kernels, q_batch->modulus, sum);
    leave(q_batch, chunk, sum);
    q_batch->kernels->multiply_add(q_batch->scratch, wide, chunk, 2 * limbs, joint->p_squared, 2 * limbs, number_p,
                                   2 * limbs);
    store_rows(q_batch, out, row_bytes, count, wide, 4 * limbs);
}

void dcsfl_paillier_encrypt_with_factors(const struct dcsfl_bigint_kernels *kernels,
                                         const struct dcsfl_paillier_secret *key,
                                         const struct dcsfl_fixed_base *p_table,
                                         const struct dcsfl_fixed_base *q_table, size_t modulus_bits,
                                         uint64_t *workspace, uint8_t *out, const uint8_t *words,
                                         const uint8_t *randomisers, size_t count) {
    const size_t groups = BLOCK_ROWS / kernels->lanes, row_bytes = modulus_bits / 4;
    const size_t state_words = dcsfl_state_words(kernels, key->p.modulus.limbs);
    struct batch p_batch, q_batch;
    uint64_t *spare, *states_p, *states_q;

    /* One set of arrays serves both, as p and q are of one length. */
    (void)open_batch(&p_batch, kernels, &key->p.modulus, workspace);
    spare = open_batch(&q_batch, kernels, &key->q.modulus, workspace);
    states_p = spare + 5 * q_batch.words;
    states_q = states_p + groups * state_words;
    for (size_t start = 0; start < count; start += BLOCK_ROWS) {
        const size_t rows = at_most(count - start, BLOCK_ROWS);
        const uint8_t *block_words = words + start * (modulus_bits / 8);
        const uint8_t *block_randomisers = randomisers + start * (modulus_bits / 16);
        encrypt_mod_prime(&p_batch, &key->p, p_table, modulus_bits, states_p, spare, block_words, block_randomisers,
                          rows);
        encrypt_mod_prime(&q_batch, &key->q, q_table, modulus_bits, states_q, spare, block_words, block_randomisers,
                          rows);
        for (size_t first = 0; first < rows; first += kernels->lanes) {
            const size_t at = first / kernels->lanes * state_words;
            join(&p_batch, &q_batch, &key->joint, spare, states_p + at, states_q + at, modulus_bits,
                 out + (start + first) * row_bytes, at_most(rows - first, kernels->lanes));
        }
    }
}

/* --- add ---------------------------------------------------------------------------------------------------------- */

void dcsfl_paillier_add(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_paillier_public *key,
                        size_t modulus_bits, uint64_t *workspace, uint8_t *out, const uint8_t *left,
                        const uint8_t *right, size_t count) {
    const size_t limbs = key->modulus.limbs, row_bytes = modulus_bits / 4;
    struct batch batch;
    uint64_t *product = open_batch(&batch, kernels, &key->modulus, workspace), *factor = product + batch.words;

    for (size_t first = 0; first < count; first += kernels->lanes) {
        const size_t rows = at_most(count - first, kernels->lanes);
        enter(&batch, product, left + first * row_bytes, row_bytes, rows, key->powers + 2 * limbs, 2); /* c R */
        enter(&batch, factor, right + first * row_bytes, row_bytes, rows, key->powers, 2);             /* c */
        kernels->multiply(batch.modulus, batch.scratch, product, product, factor);
        dcsfl_nadic_canonicalise(kernels, batch.modulus, product);
        leave(&batch, factor, product);
        store_rows(&batch, out + first * row_bytes, row_bytes, rows, factor, 2 * limbs);
    }
}

/* --- decrypt ------------------------------------------------------------------------------------------------------ */

/* element <- (L(c^(p-1) mod p^2), 0), below p, for the ciphertexts c. */
static void logarithm(const struct batch *batch, const struct dcsfl_paillier_prime *prime, size_t modulus_bits,
                      uint64_t *workspace, uint64_t *element, uint64_t *exponent, const uint8_t *ciphertexts,
                      size_t count) {
    const size_t limbs = batch->modulus->limbs, half = batch->words / 2, row_bytes = modulus_bits / 4;

    enter(batch, element, ciphertexts, row_bytes, count, prime->powers + 2 * limbs, 4);
    memcpy(exponent, batch->modulus->n, limbs * sizeof *exponent);
    exponent[0] -= 1; /* p is odd */
    dcsfl_power(batch->kernels, batch->modulus, workspace, element, exponent, modulus_bits / 2, prime->powers);
    set_one(batch, batch->spare);
    batch->kernels->multiply(batch->modulus, batch->scratch, element, element, batch->spare);
    dcsfl_nadic_canonicalise(batch->kernels, batch->modulus, element);
    memcpy(element, element + half, half * sizeof *element);
    memset(element + half, 0, half * sizeof *element);
}

void dcsfl_paillier_decrypt(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_paillier_secret *key,
                            size_t modulus_bits, uint64_t *workspace, uint8_t *out, const uint8_t *ciphertexts,
                            size_t count) {
    const size_t limbs = key->p.modulus.limbs, row_bytes = modulus_bits / 4, word_bytes = modulus_bits / 8;
    struct batch p_batch, q_batch;
    uint64_t *word_p, *word_q, *wide, *exponent, *power_workspace;

    (void)open_batch(&p_batch, kernels, &key->p.modulus, workspace);
    word_p = open_batch(&q_batch, kernels, &key->q.modulus, workspace);
    word_q = word_p + p_batch.words;
    wide = word_q + p_batch.words;
    exponent = wide + p_batch.words;
    power_workspace = exponent + p_batch.words;
    for (size_t first = 0; first < count; first += kernels->lanes) {
        const size_t rows = at_most(count - first, kernels->lanes);
        const uint8_t *in = ciphertexts + first * row_bytes;
        logarithm(&p_batch, &key->p, modulus_bits, power_workspace, word_p, exponent, in, rows);
        multiply_constant(&p_batch, word_p, word_p, key->p.scale);
        dcsfl_limbs_subtract_once(kernels, &key->p.modulus, word_p);
        memset(high_half(&p_batch, word_p), 0, p_batch.words / 2 * sizeof *word_p);
        logarithm(&q_batch, &key->q, modulus_bits, power_workspace, word_q, exponent, in, rows);
        /* (m_q - m_p) / p mod q, from two products below 1.25 q each. */
        multiply_constant(&q_batch, word_q, word_q, key->q.scale);
        multiply_constant(&q_batch, wide, word_p, key->joint.decrypt);
        dcsfl_limbs_add(kernels, word_q, wide, limbs);
        dcsfl_limbs_subtract_once(kernels, &key->q.modulus, word_q);
        dcsfl_limbs_subtract_once(kernels, &key->q.modulus, word_q);
        kernels->multiply_add(q_batch.scratch, wide, word_q, limbs, key->p.modulus.n, limbs, word_p, limbs);
        store_rows(&q_batch, out + first * word_bytes, word_bytes, rows, wide, 2 * limbs);
    }
}

/* --- check -------------------------------------------------------------------------------------------------------- */

size_t dcsfl_paillier_check_var(const uint8_t *rows, size_t count, const uint8_t *bound, size_t row_bytes) {
    for (size_t index = 0; index < count; index++, rows += row_bytes) {
        size_t top = row_bytes, lowest = 0;
        while (top > 0 && rows[top - 1] == bound[top - 1])
            top--;
        if (top == 0 || rows[top - 1] > bound[top - 1])
            return index;
        while (lowest < row_bytes && rows[lowest] == 0)
            lowest++;
        if (lowest == row_bytes)
            return index;
    }
    return count;
}
