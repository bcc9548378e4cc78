/*
 * The checksum of verified sums: a vector of fields as a polynomial, at a secret point mod p = 2^61 - 1.
 *
 * Carter and Wegman's polynomial hash ("Universal classes of hash functions", JCSS 18, 1979; "New hash functions and
 * their use in authentication", JCSS 22, 1981): coefficient j, counted from 0, times x^(j+1). It is linear in the
 * fields, so the checksum of a sum of vectors is the sum of theirs, as long as the fields' sums are in range too.
 *
 * Fields and point are secret. Every kernel is constant time in them: branches and addresses depend on the count, the
 * width and the pointers alone. Workspaces are wiped.
 */
#ifndef DCSFL_CHECKSUM_H
#define DCSFL_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define DCSFL_CHECKSUM_P ((UINT64_C(1) << 61) - 1)
#define DCSFL_CHECKSUM_POINT_BYTES 16

/*
 * Up to this width two fields make one coefficient, f0 + 2^32 f1, which halves the products. Then f0 + 2^32 f1 is
 * below p, and so is the magnitude of a difference of two: none that is not 0 is 0 mod p.
 */
#define DCSFL_CHECKSUM_PAIRED_BITS 29

/*
 * sum over j of c_j x^(j+1) mod p, in [0, p); x is the little-endian integer `point` mod p. c_j is fields[j] where
 * field_bits > DCSFL_CHECKSUM_PAIRED_BITS, and otherwise fields[2 j] + 2^32 fields[2 j + 1], the last one without a
 * second field if `count` is odd.
 *   point      DCSFL_CHECKSUM_POINT_BYTES, any alignment.
 *   fields     aligned as uint32_t, each in [0, 2^field_bits); may be NULL if `count` is 0.
 *   field_bits in [1, 32].
 */
typedef uint64_t dcsfl_checksum_fn(const uint8_t *point, const uint32_t *fields, size_t count, uint32_t field_bits);

struct dcsfl_checksum_kernels {
    dcsfl_checksum_fn *checksum;
};

extern const struct dcsfl_checksum_kernels dcsfl_checksum_portable;

#endif
