/*
 * Paillier with g = n + 1 on batches of rows, each row a little-endian number: a word of modulus_bits / 8 bytes, a
 * ciphertext of modulus_bits / 4, a randomiser of modulus_bits / 16. modulus_bits is a multiple of 256 in [2048, 8192].
 *
 *   encrypt      c = (1 + m n) h^r mod n^2                                  Damgard, Jurik, Nielsen, IJIS 2010, 4.2
 *   add          c = c1 c2 mod n^2
 *   decrypt      m mod p = L(c^(p-1) mod p^2) / L((1+n)^(p-1) mod p^2), the same mod q, then together
 *                                                                           Paillier, EUROCRYPT '99, section 7
 *
 * With the n-adic form of bigint.h, 1 + m n is (1, m), and L(x) = (x - 1) / p is x1 where x0 = 1.
 *
 * Constants are arrays of one lane, made by the caller (he_core/arith/paillier_native.py); R is that of the modulus
 * beside it, an element is [2 * L] in n-adic form, and a residue mod a prime fills such an element up with zeros.
 * Keys, words, randomisers and everything made from them are secret; ciphertexts are public.
 */
#ifndef DCSFL_PAILLIER_H
#define DCSFL_PAILLIER_H

#include "exponent.h"

/* What the public key gives. Elements mod n^2. */
struct dcsfl_paillier_public {
    struct dcsfl_modulus modulus; /* n */
    const uint64_t *powers;       /* [3] elements: R, R^2, R^3 */
};

/* What one prime gives, called p here and the other one q; for q the same with the letters exchanged, but `scale`. */
struct dcsfl_paillier_prime {
    struct dcsfl_modulus modulus; /* p */
    const uint64_t *powers;       /* [5] elements mod p^2: R, R^2, .. R^5 */
    const uint64_t *message;      /* [2] residues: q R, q R^2 mod p */
    const uint64_t *scale;        /* residue: for p, R s mod p, s = 1 / L((1+n)^(p-1) mod p^2); for q, R s / p mod q */
};

/* What brings residues together, mod q or q^2. */
struct dcsfl_paillier_joint {
    const uint64_t *decrypt;   /* residue: -R / p mod q */
    const uint64_t *encrypt_q; /* element: R^2 / p^2 mod q^2 */
    const uint64_t *encrypt_p; /* [2] elements: -R^2 / p^2, -R^3 / p^2 mod q^2 */
    const uint64_t *p_squared; /* [2 * L] a plain number */
};

struct dcsfl_paillier_secret {
    struct dcsfl_paillier_prime p, q;
    struct dcsfl_paillier_joint joint;
};

/* Limbs of n, and of p and of q. */
static inline size_t dcsfl_paillier_limbs(const struct dcsfl_bigint_kernels *kernels, size_t modulus_bits) {
    return dcsfl_limbs_for(kernels, modulus_bits);
}

static inline size_t dcsfl_paillier_prime_limbs(const struct dcsfl_bigint_kernels *kernels, size_t modulus_bits) {
    return dcsfl_limbs_for(kernels, modulus_bits / 2);
}

/* Words, aligned, that each function below takes at most; the caller wipes them. */
size_t dcsfl_paillier_workspace_words(const struct dcsfl_bigint_kernels *kernels, size_t modulus_bits);

/* Fill out[count] ciphertexts; `table` is of h mod n^2. */
void dcsfl_paillier_encrypt(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_paillier_public *key,
                            const struct dcsfl_fixed_base *table, size_t modulus_bits, uint64_t *workspace,
                            uint8_t *out, const uint8_t *words, const uint8_t *randomisers, size_t count);

/* The same ciphertexts, by tables of h mod p^2 and mod q^2. */
void dcsfl_paillier_encrypt_with_factors(const struct dcsfl_bigint_kernels *kernels,
                                         const struct dcsfl_paillier_secret *key,
                                         const struct dcsfl_fixed_base *p_table,
                                         const struct dcsfl_fixed_base *q_table, size_t modulus_bits,
                                         uint64_t *workspace, uint8_t *out, const uint8_t *words,
                                         const uint8_t *randomisers, size_t count);

/* Fill out[count] with the products of left[count] and right[count], any numbers of that length. */
void dcsfl_paillier_add(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_paillier_public *key,
                        size_t modulus_bits, uint64_t *workspace, uint8_t *out, const uint8_t *left,
                        const uint8_t *right, size_t count);

/* Fill out[count] words from ciphertexts[count]. */
void dcsfl_paillier_decrypt(const struct dcsfl_bigint_kernels *kernels, const struct dcsfl_paillier_secret *key,
                            size_t modulus_bits, uint64_t *workspace, uint8_t *out, const uint8_t *ciphertexts,
                            size_t count);

/*
 * The first of rows[count] outside [1, bound), `count` if there is none; rows and bound of row_bytes bytes.
 * Not constant time: ciphertexts are public.
 */
size_t dcsfl_paillier_check_var(const uint8_t *rows, size_t count, const uint8_t *bound, size_t row_bytes);

#endif
