/*
 * Constant time, after the method of secp256k1's ctime_tests.c: keys, words, randomisers and ciphertexts are marked
 * undefined, so valgrind reports any branch or address that depends on them. Run under valgrind --error-exitcode=1.
 *
 * Timing does not ask whether a key is one: its constants are arbitrary limbs here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/memcheck.h>

#include "../bigint/paillier.h"
#include "../cpu.h"
#include "../dispatch.h"

enum { MODULUS_BITS = 2048, ROWS = 9, WINDOW_BITS = 5 };

static uint8_t words[ROWS * MODULUS_BITS / 8], randomisers[ROWS * MODULUS_BITS / 16];
static uint8_t ciphertexts[ROWS * MODULUS_BITS / 4];

static void *secret(size_t bytes) {
    void *memory = aligned_alloc(DCSFL_BIGINT_ALIGNMENT, (bytes + DCSFL_BIGINT_ALIGNMENT - 1) / DCSFL_BIGINT_ALIGNMENT *
                                                             DCSFL_BIGINT_ALIGNMENT);
    if (memory == NULL)
        exit(2);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(memory, bytes);
    return memory;
}

static const uint64_t *constants(size_t count) {
    return (const uint64_t *)secret(count * sizeof(uint64_t));
}

static struct dcsfl_modulus modulus_of(size_t limbs) {
    const struct dcsfl_modulus modulus = {limbs, constants(limbs), constants(limbs), constants(limbs),
                                          constants(limbs)};
    return modulus;
}

static struct dcsfl_fixed_base table_of(const struct dcsfl_bigint_kernels *kernels, size_t limbs) {
    const size_t digits = dcsfl_fixed_base_digits(MODULUS_BITS / 2, WINDOW_BITS);
    const size_t bytes = digits * dcsfl_fixed_base_row_bytes(kernels, limbs, WINDOW_BITS);
    const struct dcsfl_fixed_base table = {digits, WINDOW_BITS, (const uint8_t *)secret(bytes)};
    return table;
}

static struct dcsfl_paillier_prime prime_of(size_t limbs) {
    const struct dcsfl_paillier_prime prime = {modulus_of(limbs), constants(10 * limbs), constants(4 * limbs),
                                               constants(2 * limbs)};
    return prime;
}

static void make_secret(void *memory, size_t bytes) {
    (void)VALGRIND_MAKE_MEM_UNDEFINED(memory, bytes);
}

static void run(const struct dcsfl_bigint_kernels *kernels) {
    const size_t limbs = dcsfl_paillier_limbs(kernels, MODULUS_BITS);
    const size_t prime_limbs = dcsfl_paillier_prime_limbs(kernels, MODULUS_BITS);
    const struct dcsfl_paillier_public public_key = {modulus_of(limbs), constants(6 * limbs)};
    const struct dcsfl_paillier_secret secret_key = {
        prime_of(prime_limbs),
        prime_of(prime_limbs),
        {constants(2 * prime_limbs), constants(2 * prime_limbs), constants(4 * prime_limbs),
         constants(2 * prime_limbs)},
    };
    const struct dcsfl_fixed_base table = table_of(kernels, limbs), prime_table = table_of(kernels, prime_limbs);
    const struct dcsfl_base base = {constants(2 * prime_limbs), constants(prime_limbs), constants(prime_limbs),
                                    constants(prime_limbs + 2)};
    uint64_t *workspace = (uint64_t *)secret(dcsfl_paillier_workspace_words(kernels, MODULUS_BITS) * sizeof(uint64_t));

    make_secret(words, sizeof words);
    make_secret(randomisers, sizeof randomisers);
    dcsfl_paillier_encrypt(kernels, &public_key, &table, MODULUS_BITS, workspace, ciphertexts, words, randomisers, ROWS);
    dcsfl_paillier_encrypt_with_factors(kernels, &secret_key, &prime_table, &prime_table, MODULUS_BITS, workspace,
                                        ciphertexts, words, randomisers, ROWS);
    make_secret(ciphertexts, sizeof ciphertexts);
    dcsfl_paillier_add(kernels, &public_key, MODULUS_BITS, workspace, ciphertexts, ciphertexts, ciphertexts, ROWS);
    make_secret(ciphertexts, sizeof ciphertexts);
    dcsfl_paillier_decrypt(kernels, &secret_key, MODULUS_BITS, workspace, words, ciphertexts, ROWS);
    dcsfl_fixed_base_build(kernels, &secret_key.p.modulus, workspace,
                           (uint8_t *)secret(4 * dcsfl_fixed_base_row_bytes(kernels, prime_limbs, WINDOW_BITS)), 4,
                           WINDOW_BITS, &base);
    /* What was made secret above lives to the end of the test. */
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    if (!RUNNING_ON_VALGRIND) {
        (void)fprintf(stderr, "run me under valgrind: without it nothing is checked\n");
        return 2;
    }
    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features))
            continue;
        run(targets[t].bigint);
        (void)printf("%s: no branch or address depends on keys, words or randomisers\n", targets[t].name);
    }
    run(&dcsfl_bigint_words);
    (void)printf("words: no branch or address depends on keys, words or randomisers\n");
    return 0;
}
