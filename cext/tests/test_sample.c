/*
 * Every target's samplers that run here: ChaCha20 against the vectors of RFC 8439 and an oracle of one block at a
 * time, Gaussians against one 64-bit comparison a sample, uniform residues against one word at a time. Exact-size
 * heap buffers (so that a sanitizer sees the first byte too far), bytes at odd addresses, counts around the vector
 * lengths.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bytes.h"
#include "../cpu.h"
#include "../dispatch.h"
#include "../ring/ring.h"
#include "../sample/gaussian.h"
#include "../sample/kernels.h"

static unsigned failures = 0;
static unsigned comparisons = 0;

static void expect(int holds, const char *claim, const char *target, size_t count) {
    comparisons++;
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s: %s (count %zu)\n", target, claim, count);
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes == 0 ? 1 : bytes);
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

/* Marsaglia's xorshift64: repeatable values, no more is needed here. */
static uint8_t next_byte(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint8_t)(*seed >> 56);
}

/* --- ChaCha20 ------------------------------------------------------------------------------------ */

/* RFC 8439, sections 2.1 and 2.3, as written there. */
static void oracle_quarter_round(uint32_t x[16], int a, int b, int c, int d) {
    static const unsigned shifts[4] = {16, 12, 8, 7};

    for (int step = 0; step < 4; step++) {
        const int sum = step % 2 == 0 ? a : c, addend = step % 2 == 0 ? b : d, turned = step % 2 == 0 ? d : b;
        x[sum] += x[addend];
        x[turned] ^= x[sum];
        x[turned] = x[turned] << shifts[step] | x[turned] >> (32 - shifts[step]);
    }
}

static void oracle_block(uint8_t out[64], const struct dcsfl_stream *stream, uint32_t block) {
    uint32_t x[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, start[16];

    for (int i = 0; i < 8; i++)
        x[4 + i] = dcsfl_load_le32(stream->seed + 4 * i);
    x[12] = block;
    x[13] = stream->domain;
    x[14] = (uint32_t)(stream->index & 0xffffffff);
    x[15] = (uint32_t)(stream->index >> 32);
    memcpy(start, x, sizeof start);
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < 4; i++) {
            const int turn = round % 2; /* even rounds work on columns, odd ones on diagonals */
            oracle_quarter_round(x, i, 4 + (i + turn) % 4, 8 + (i + 2 * turn) % 4, 12 + (i + 3 * turn) % 4);
        }
    for (int i = 0; i < 16; i++)
        dcsfl_store_le32(out + 4 * i, x[i] + start[i]);
}

static void oracle_chacha20(uint8_t *out, size_t blocks, const struct dcsfl_stream *stream, uint32_t first_block) {
    for (size_t i = 0; i < blocks; i++)
        oracle_block(out + 64 * i, stream, first_block + (uint32_t)i);
}

/* Keystreams of RFC 8439; the nonce is the domain and the index, little-endian, one after the other. */
static const struct {
    const char *section;
    const char *seed;
    uint32_t domain;
    uint64_t index;
    uint32_t first_block;
    const char *keystream;
} vectors[] = {
    {"section 2.3.2", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0x09000000, 0x4a000000, 1,
     "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
     "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"},
    {"section 2.4.2", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0, 0x4a000000, 1,
     "224f51f3401bd9e12fde276fb8631ded8c131f823d2c06e27e4fcaec9ef3cf78"
     "8a3b0aa372600a92b57974cded2b9334794cba40c63e34cdea212c4cf07d41b7"
     "69a6749f3f630f4122cafe28ec4dc47e26d4346d70b98c73f3e9c53ac40c5945"
     "398b6eda1a832c89c167eacd901d7e2bf363"},
    {"A.1, vector 1", "0000000000000000000000000000000000000000000000000000000000000000", 0, 0, 0,
     "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
     "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"},
    {"A.1, vector 2", "0000000000000000000000000000000000000000000000000000000000000000", 0, 0, 1,
     "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
     "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"},
    {"A.1, vector 3", "0000000000000000000000000000000000000000000000000000000000000001", 0, 0, 1,
     "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
     "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"},
    {"A.1, vector 4", "00ff000000000000000000000000000000000000000000000000000000000000", 0, 0, 2,
     "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
     "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"},
    {"A.1, vector 5", "0000000000000000000000000000000000000000000000000000000000000000", 0, UINT64_C(2) << 56, 0,
     "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
     "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d"},
};

static size_t parse_hex(uint8_t *out, const char *text) {
    static const char digits[] = "0123456789abcdef";
    const size_t bytes = strlen(text) / 2;

    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
    return bytes;
}

static void check_rfc_vectors(const char *name, dcsfl_chacha20_fn *chacha20) {
    for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++) {
        uint8_t seed[DCSFL_SEED_BYTES], expected[128], made[128];
        const struct dcsfl_stream stream = {seed, vectors[v].domain, vectors[v].index};
        const size_t bytes = parse_hex(expected, vectors[v].keystream);

        (void)parse_hex(seed, vectors[v].seed);
        chacha20(made, (bytes + 63) / 64, &stream, vectors[v].first_block);
        expect(memcmp(made, expected, bytes) == 0, vectors[v].section, name, v);
    }
}

static void check_chacha20(const struct dcsfl_target *target, const struct dcsfl_stream *stream) {
    for (size_t blocks = 0; blocks <= 50; blocks++) {
        /* Blocks that end with the stream's last one, too. */
        const uint32_t firsts[] = {0, 1, 77, (uint32_t)((UINT64_C(1) << 32) - blocks)};
        uint8_t *expected = allocate(64 * blocks), *memory = allocate(64 * blocks + 1), *made = memory + 1;

        for (size_t i = 0; i < 4; i++) {
            if (blocks == 0 && i == 3)
                continue; /* 2^32 is no block number */
            oracle_chacha20(expected, blocks, stream, firsts[i]);
            memset(memory, 0xa5, 64 * blocks + 1);
            target->sample->chacha20(made, blocks, stream, firsts[i]);
            expect(memcmp(made, expected, 64 * blocks) == 0, "chacha20 agrees with the oracle", target->name, blocks);
            expect(memory[0] == 0xa5, "chacha20 writes nothing before out", target->name, blocks);
        }
        free(memory);
        free(expected);
    }
}

/* --- Gaussians ----------------------------------------------------------------------------------- */

static uint64_t threshold_of(const struct dcsfl_gaussian_table *table, int column) {
    uint64_t threshold = 0;

    for (int s = 0; s < 8; s++)
        threshold = threshold << 8 | table->threshold[s][column];
    return threshold;
}

static int8_t oracle_gaussian(const struct dcsfl_gaussian_table *table, const uint8_t *group, int lane) {
    const int column = group[lane] % 64;
    uint64_t comparand = 0;
    int magnitude;

    for (int s = 1; s <= 5; s++)
        comparand = comparand << 8 | group[64 * s + lane];
    for (int i = 23; i >= 0; i--)
        comparand = comparand << 1 | (group[i] >> 6 & 1);
    magnitude = comparand < threshold_of(table, column) ? column : table->alias[column];
    return (int8_t)(group[lane] >= 128 ? -magnitude : magnitude);
}

/* Lane l gets the column byte and the comparand given, but for its 24 low bits. */
static void put_sample(uint8_t *group, int lane, uint8_t column_byte, uint64_t comparand) {
    group[lane] = column_byte;
    comparand >>= 24;
    for (int s = 5; s >= 1; s--, comparand >>= 8)
        group[64 * s + lane] = (uint8_t)comparand;
}

/* The comparands' 24 low bits, which all samples have in common, are those of the comparand given. */
static void put_shared_bits(uint8_t *group, uint64_t comparand) {
    for (int i = 0; i < 24; i++)
        group[i] = (uint8_t)((group[i] & 0xbf) | (comparand >> i & 1) << 6);
}

static void check_mapping(const struct dcsfl_target *target, const struct dcsfl_gaussian_table *table,
                          const uint8_t *stream, size_t groups, const char *claim) {
    uint8_t *memory = allocate(64 * groups + 1);
    int8_t *made = (int8_t *)(memory + 1);
    int agrees = 1;

    memset(memory, 0xa5, 64 * groups + 1);
    target->sample->gaussian(table, made, groups, stream);
    for (size_t i = 0; i < 64 * groups; i++)
        agrees &= made[i] == oracle_gaussian(table, stream + 384 * (i / 64), (int)(i % 64));
    expect(agrees, claim, target->name, groups);
    expect(memory[0] == 0xa5, "gaussian writes nothing before out", target->name, groups);
    free(memory);
}

/*
 * Every column and sign in every lane, with comparands on both sides of the threshold and one byte apart from it. The
 * shared bits are right for one lane, another in every fourth group: over all groups, for every column.
 */
static void check_thresholds(const struct dcsfl_target *target, const struct dcsfl_gaussian_table *table) {
    enum { VARIANTS = 4 + 16 };
    uint8_t *stream = allocate(384 * 256);

    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint64_t shared = 0;
            for (int lane = 0; lane < 64; lane++) {
                const uint8_t column_byte = (uint8_t)(byte + (unsigned)lane * 37);
                const uint64_t threshold = threshold_of(table, column_byte % 64);
                const uint64_t edges[4] = {threshold - 1, threshold, threshold + 1, 0};
                const uint64_t one = UINT64_C(1) << (8 * (variant / 2 % 8)); /* in one slice, up or down */
                const uint64_t apart = variant % 2 == 0 ? threshold + one : threshold - one;
                const uint64_t comparand = variant < 4 ? edges[variant] : apart;
                put_sample(stream + 384 * byte, lane, column_byte, comparand);
                if (lane == (int)(byte / 4))
                    shared = comparand;
            }
            put_shared_bits(stream + 384 * byte, shared);
        }
        check_mapping(target, table, stream, 256, "gaussian agrees with the oracle around the thresholds");
    }
    free(stream);
}

static void check_gaussian(const struct dcsfl_target *target, const struct dcsfl_gaussian_table *table,
                           const struct dcsfl_stream *seed) {
    const size_t draws[] = {0, 1, 2, 31, 32, 33, 64, 65, 97};
    uint64_t state = 0x9e3779b97f4a7c15U;

    check_thresholds(target, table);
    for (size_t groups = 0; groups <= 9; groups++) {
        uint8_t *memory = allocate(384 * groups + 1), *stream = memory + 1;
        for (size_t i = 0; i < 384 * groups; i++)
            stream[i] = next_byte(&state);
        check_mapping(target, table, stream, groups, "gaussian agrees with the oracle");
        free(memory);
    }
    for (size_t d = 0; d < sizeof draws / sizeof draws[0]; d++) {
        const size_t groups = draws[d];
        uint8_t *stream = allocate(384 * groups);
        int8_t *made = allocate(64 * groups);
        int agrees = 1;

        oracle_chacha20(stream, 6 * groups, seed, 0);
        dcsfl_sample_gaussian(target->sample, table, made, groups, seed);
        for (size_t i = 0; i < 64 * groups; i++)
            agrees &= made[i] == oracle_gaussian(table, stream + 384 * (i / 64), (int)(i % 64));
        expect(agrees, "samples are those of the stream's blocks in order", target->name, groups);
        free(made);
        free(stream);
    }
}

/* --- uniform residues ---------------------------------------------------------------------------- */

static void oracle_uniform(uint64_t *out, size_t count, const struct dcsfl_stream *stream) {
    uint8_t block[64];
    uint32_t number = 0;

    for (size_t filled = 0; filled < count; number++) {
        oracle_block(block, stream, number);
        for (int i = 0; i < 8 && filled < count; i++) {
            const uint64_t word = dcsfl_load_le64(block + 8 * i) % (UINT64_C(1) << 50);
            if (word < DCSFL_Q)
                out[filled++] = word;
        }
    }
}

static void check_uniform(const struct dcsfl_target *target, const struct dcsfl_stream *stream) {
    const size_t counts[] = {0,   1,   2,   3,   4,   5,   7,   8,   9,    15,   16,   17,  63,
                             64,  65,  127, 128, 129, 495, 496, 497, 504,  511,  512,  513, 520,
                             528, 600, 700, 800, 900, 998, 999, 1000, 1024, 2047, 2048, 4096};

    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        uint64_t *expected = allocate(8 * counts[c]), *made = allocate(8 * counts[c]);
        oracle_uniform(expected, counts[c], stream);
        memset(made, 0xa5, 8 * counts[c]);
        target->sample->uniform_var(made, counts[c], stream);
        expect(memcmp(made, expected, 8 * counts[c]) == 0, "uniform agrees with the oracle", target->name, counts[c]);
        free(made);
        free(expected);
    }
}

static dcsfl_uniform_filter_fn_var *filter_of(const struct dcsfl_sample_kernels *kernels) {
#ifdef DCSFL_HAVE_AVX512_IFMA
    if (kernels == &dcsfl_sample_avx512ifma)
        return dcsfl_uniform_filter_avx512ifma_var;
#endif
#ifdef DCSFL_HAVE_AVX2
    if (kernels == &dcsfl_sample_avx2)
        return dcsfl_uniform_filter_avx2_var;
#endif
    (void)kernels;
    return dcsfl_uniform_filter_portable_var;
}

/* Words around 0, q and 2^50, which no stream that can be found holds, with and without bits above the low 50. */
static void check_filter(const struct dcsfl_target *target) {
    const uint64_t edges[] = {0, 1, DCSFL_Q - 1, DCSFL_Q, DCSFL_Q + 1, (UINT64_C(1) << 50) - 1};
    uint64_t state = 0x2545f4914f6cdd1dU;

    for (size_t count = 0; count <= 40; count++)
        for (int trial = 0; trial < 50; trial++) {
            uint8_t *memory = allocate(8 * count + 1), *words = memory + 1;
            uint64_t *expected = allocate(8 * count), *made = allocate(8 * count);
            size_t expected_kept = 0, kept;

            for (size_t i = 0; i < count; i++) {
                const uint64_t word = edges[next_byte(&state) % (trial < 25 ? 6 : 3)];
                dcsfl_store_le64(words + 8 * i, word | (uint64_t)next_byte(&state) << 50);
                if (word < DCSFL_Q)
                    expected[expected_kept++] = word;
            }
            kept = filter_of(target->sample)(made, words, count);
            expect(kept == expected_kept && memcmp(made, expected, 8 * kept) == 0,
                   "the filter keeps the words below q in order", target->name, count);
            free(made);
            free(expected);
            free(memory);
        }
}

int main(void) {
    const uint32_t features = dcsfl_cpu_features();
    uint8_t seed[DCSFL_SEED_BYTES];
    const struct dcsfl_stream streams[] = {{seed, 0, 0}, {seed, 0x80000001, UINT64_C(0xfedcba9876543210)}};
    uint64_t state = 88172645463325252U;
    size_t target_count;
    const struct dcsfl_target *targets = dcsfl_targets(&target_count);

    for (int i = 0; i < DCSFL_SEED_BYTES; i++)
        seed[i] = next_byte(&state);
    check_rfc_vectors("the oracle", oracle_chacha20);
    for (size_t t = 0; t < target_count; t++) {
        if (!dcsfl_target_runs(&targets[t], features)) {
            (void)printf("%s: does not run here\n", targets[t].name);
            continue;
        }
        check_rfc_vectors(targets[t].name, targets[t].sample->chacha20);
        check_filter(&targets[t]);
        for (size_t s = 0; s < sizeof streams / sizeof streams[0]; s++) {
            check_chacha20(&targets[t], &streams[s]);
            check_gaussian(&targets[t], &dcsfl_gaussian_narrow, &streams[s]);
            check_gaussian(&targets[t], &dcsfl_gaussian_wide, &streams[s]);
            check_uniform(&targets[t], &streams[s]);
        }
        (void)printf("%s: checked\n", targets[t].name);
    }
    (void)printf("%u comparisons, %u failures\n", comparisons, failures);
    return failures != 0;
}
