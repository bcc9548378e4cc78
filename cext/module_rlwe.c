/* rlwe on vectors for Python: rlwe/vector.h behind encrypt_polynomials and decrypt_polynomials. */
#include "module.h"

#include "pack/coefficients.h"
#include "ring/ring.h"
#include "rlwe/vector.h"
#include "sample/sample.h"
#include "wipe.h"

/* What both functions take besides their vectors: public, but for the factor. close_masks() after open_masks(). */
struct open_masks {
    Py_buffer polynomials; /* uint64[L, N] */
    Py_buffer factor;      /* uint64[N] */
    struct dcsfl_rlwe_masks masks;
    struct dcsfl_ring_scale scale;
};

static void close_masks(struct open_masks *opened) {
    PyBuffer_Release(&opened->factor);
    PyBuffer_Release(&opened->polynomials);
}

static int check_masks(struct open_masks *opened, PyObject *module, const struct dcsfl_ring_kernels *kernels,
                       size_t count) {
    const size_t rows = (size_t)opened->polynomials.shape[0], degree = (size_t)opened->polynomials.shape[1];

    if ((size_t)opened->factor.shape[0] != degree) {
        PyErr_Format(PyExc_ValueError, "factor has %zd coefficients, the polynomials %zu", opened->factor.shape[0],
                     degree);
        return -1;
    }
    opened->masks.ring = dcsfl_py_ring(module, (Py_ssize_t)degree);
    if (opened->masks.ring == NULL)
        return -1;
    if (degree % DCSFL_GAUSSIAN_GROUP != 0) {
        PyErr_Format(PyExc_ValueError, "degree %zu is not a multiple of %d", degree, DCSFL_GAUSSIAN_GROUP);
        return -1;
    }
    if (rows != count / degree + (count % degree != 0)) {
        PyErr_Format(PyExc_ValueError, "%zu polynomials of degree %zu do not go with %zu coefficients", rows, degree,
                     count);
        return -1;
    }
    if (!kernels->are_below(opened->masks.factor, degree, DCSFL_Q)) {
        PyErr_SetString(PyExc_ValueError, "factor holds a value outside [0, q), q = 63 * 2**44 + 1");
        return -1;
    }
    return 0;
}

/* 0, or -1 with an exception set. `count` coefficients must take just the polynomials given. */
static int open_masks(struct open_masks *opened, PyObject *module, const struct dcsfl_ring_kernels *kernels,
                      PyObject *polynomials, PyObject *factor, size_t count) {
    if (dcsfl_py_open_array(&opened->polynomials, polynomials, "polynomials", ITEM_UINT64, 2, 0) < 0)
        return -1;
    if (dcsfl_py_open_array(&opened->factor, factor, "factor", ITEM_UINT64, 1, 0) < 0) {
        PyBuffer_Release(&opened->polynomials);
        return -1;
    }
    opened->masks.polynomials = (const uint64_t *)opened->polynomials.buf;
    opened->masks.factor = (const uint64_t *)opened->factor.buf;
    if (check_masks(opened, module, kernels, count) == 0)
        return 0;
    close_masks(opened);
    return -1;
}

/* 0 if `found` (rlwe/vector.h) is 0; otherwise -1 with an exception set, and `out` wiped. */
static int finish(int found, Py_buffer *out, unsigned plaintext_bits) {
    if (found == 0)
        return 0;
    if (found < 0) {
        PyErr_NoMemory();
        return -1;
    }
    dcsfl_wipe(out->buf, (size_t)out->len);
    if (found & DCSFL_RLWE_BAD_POLYNOMIALS)
        PyErr_SetString(PyExc_ValueError, "polynomials holds a value outside [0, q), q = 63 * 2**44 + 1");
    else
        PyErr_Format(PyExc_ValueError, "words holds a value of 2**%u or more", plaintext_bits);
    return -1;
}

/* ValueError if one of `rows` streams, the first of them opened, would pass the last. */
static int check_streams(const struct dcsfl_py_stream *first, Py_ssize_t rows) {
    if (rows == 0 || (uint64_t)rows - 1 <= UINT64_MAX - first->stream.index)
        return 0;
    PyErr_Format(PyExc_ValueError, "%zd streams from first_index=%llu on pass the last one, 2**64 - 1", rows,
                 (unsigned long long)first->stream.index);
    return -1;
}

PyDoc_STRVAR(encrypt_polynomials_doc,
             "encrypt_polynomials(out, words, polynomials, factor, seed, domain, first_index, plaintext_bits,\n"
             "                    dropped_bits, *, target=None)\n--\n\n"
             "Encrypt words, uint64[n], into out, uint8[ceil(n * (50 - dropped_bits) / 8)]: covered by polynomials,\n"
             "uint64[ceil(n / N), N], times factor, uint64[N], both transformed, and by wide Gaussian errors of the\n"
             "streams first_index, first_index + 1, ... of (seed, domain).\n\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a wrong size, a number or\n"
             "a value out of range, an unknown target, or if out and an input share memory. Nothing has been\n"
             "written then, but zeros for a value out of range.");

static PyObject *encrypt_polynomials(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out",         "words",          "polynomials",  "factor", "seed", "domain",
                            "first_index", "plaintext_bits", "dropped_bits", "target", NULL};
    PyObject *out_object, *words_object, *polynomials, *factor, *seed, *domain, *first_index;
    int plaintext_bits, dropped_bits, found, is_done = 0;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    struct dcsfl_py_stream errors;
    struct open_masks opened;
    Py_buffer out, words;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOOii|$z:encrypt_polynomials", names, &out_object,
                                     &words_object, &polynomials, &factor, &seed, &domain, &first_index,
                                     &plaintext_bits, &dropped_bits, &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || dcsfl_py_parse_scale(&opened.scale, plaintext_bits, dropped_bits) < 0)
        return NULL;
    if (dcsfl_py_open_array(&words, words_object, "words", ITEM_UINT64, 1, 0) < 0)
        return NULL;
    if (dcsfl_py_open_array(&out, out_object, "out", ITEM_UINT8, 1, 1) < 0)
        goto close_words;
    if (dcsfl_py_open_stream(&errors, seed, domain, first_index) < 0)
        goto close_out;
    if (open_masks(&opened, module, target->ring, polynomials, factor, (size_t)words.shape[0]) < 0)
        goto close_errors;
    if ((size_t)out.len != dcsfl_coefficient_bytes((size_t)words.shape[0], DCSFL_Q_BITS - opened.scale.dropped_bits)) {
        PyErr_Format(PyExc_ValueError, "out has %zd bytes, expected %zu", out.len,
                     dcsfl_coefficient_bytes((size_t)words.shape[0], DCSFL_Q_BITS - opened.scale.dropped_bits));
    } else if (check_streams(&errors, opened.polynomials.shape[0]) == 0 &&
               dcsfl_py_check_apart(&out, &words, "words") == 0 &&
               dcsfl_py_check_apart(&out, &errors.seed, "seed") == 0 &&
               dcsfl_py_check_apart(&out, &opened.polynomials, "polynomials") == 0 &&
               dcsfl_py_check_apart(&out, &opened.factor, "factor") == 0) {
        Py_BEGIN_ALLOW_THREADS
        found = dcsfl_rlwe_encrypt(target, &opened.masks, &opened.scale, &errors.stream, (uint8_t *)out.buf,
                                    (const uint64_t *)words.buf, (size_t)words.shape[0]);
        Py_END_ALLOW_THREADS
        is_done = finish(found, &out, opened.scale.plaintext_bits) == 0;
    }
    close_masks(&opened);
close_errors:
    dcsfl_py_close_stream(&errors);
close_out:
    PyBuffer_Release(&out);
close_words:
    PyBuffer_Release(&words);
    if (!is_done)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(decrypt_polynomials_doc,
             "decrypt_polynomials(out, sums, polynomials, factor, plaintext_bits, dropped_bits, *, target=None)\n--\n\n"
             "Take polynomials, uint64[ceil(n / N), N], times factor, uint64[N], both transformed, away from sums,\n"
             "uint64[n], any values, and round to words below 2**plaintext_bits: out, uint64[n].\n\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a wrong size, a number or\n"
             "a value out of range, an unknown target, or if out and an input share memory. Nothing has been\n"
             "written then, but zeros for a value out of range.");

static PyObject *decrypt_polynomials(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out",          "sums",   "polynomials", "factor", "plaintext_bits",
                            "dropped_bits", "target", NULL};
    PyObject *out_object, *sums_object, *polynomials, *factor;
    int plaintext_bits, dropped_bits, found, is_done = 0;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    struct open_masks opened;
    Py_buffer out, sums;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOii|$z:decrypt_polynomials", names, &out_object, &sums_object,
                                     &polynomials, &factor, &plaintext_bits, &dropped_bits, &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || dcsfl_py_parse_scale(&opened.scale, plaintext_bits, dropped_bits) < 0)
        return NULL;
    if (dcsfl_py_open_array(&sums, sums_object, "sums", ITEM_UINT64, 1, 0) < 0)
        return NULL;
    if (dcsfl_py_open_array(&out, out_object, "out", ITEM_UINT64, 1, 1) < 0)
        goto close_sums;
    if (open_masks(&opened, module, target->ring, polynomials, factor, (size_t)sums.shape[0]) < 0)
        goto close_out;
    if (out.shape[0] != sums.shape[0]) {
        PyErr_Format(PyExc_ValueError, "out has %zd words, sums %zd", out.shape[0], sums.shape[0]);
    } else if (dcsfl_py_check_apart(&out, &sums, "sums") == 0 &&
               dcsfl_py_check_apart(&out, &opened.polynomials, "polynomials") == 0 &&
               dcsfl_py_check_apart(&out, &opened.factor, "factor") == 0) {
        Py_BEGIN_ALLOW_THREADS
        found = dcsfl_rlwe_decrypt(target, &opened.masks, &opened.scale, (uint64_t *)out.buf,
                                    (const uint64_t *)sums.buf, (size_t)sums.shape[0]);
        Py_END_ALLOW_THREADS
        is_done = finish(found, &out, opened.scale.plaintext_bits) == 0;
    }
    close_masks(&opened);
close_out:
    PyBuffer_Release(&out);
close_sums:
    PyBuffer_Release(&sums);
    if (!is_done)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef dcsfl_py_rlwe_methods[] = {
    {"encrypt_polynomials", (PyCFunction)(void (*)(void))encrypt_polynomials, METH_VARARGS | METH_KEYWORDS,
     encrypt_polynomials_doc},
    {"decrypt_polynomials", (PyCFunction)(void (*)(void))decrypt_polynomials, METH_VARARGS | METH_KEYWORDS,
     decrypt_polynomials_doc},
    {NULL, NULL, 0, NULL},
};
