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
};

/* 0, or ValueError and -1 unless fields_per_coefficient fields of field_bits bits and dropped_bits take 44 at most. */
static int parse_layout(struct dcsfl_rlwe_layout *layout, int field_bits, int fields_per_coefficient,
                        int dropped_bits) {
    struct dcsfl_ring_scale scale;

    if (dcsfl_py_check_field_bits(field_bits) < 0)
        return -1;
    if (fields_per_coefficient < 1 || fields_per_coefficient > 44 / field_bits) {
        PyErr_Format(PyExc_ValueError, "fields_per_coefficient=%d is outside [1, %d], for fields of %d bits",
                     fields_per_coefficient, 44 / field_bits, field_bits);
        return -1;
    }
    if (dcsfl_py_parse_scale(&scale, (Py_ssize_t)field_bits * fields_per_coefficient, dropped_bits) < 0)
        return -1;
    layout->words.field_bits = (uint32_t)field_bits;
    layout->words.fields_per_word = (size_t)fields_per_coefficient;
    layout->words.word_bytes = sizeof(uint64_t);
    layout->dropped_bits = scale.dropped_bits;
    return 0;
}

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
static int finish(int found, Py_buffer *out, const struct dcsfl_rlwe_layout *layout) {
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
        PyErr_Format(PyExc_OverflowError, "a field is outside [0, 2**%u)", (unsigned)layout->words.field_bits);
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
             "encrypt_polynomials(out, fields, polynomials, factor, seed, domain, first_index, field_bits,\n"
             "                    fields_per_coefficient, dropped_bits, *, target=None)\n--\n\n"
             "Encrypt fields, uint32[n], in m = ceil(n / fields_per_coefficient) coefficients: out,\n"
             "uint8[ceil(m * (50 - dropped_bits) / 8)], covered by polynomials, uint64[ceil(m / N), N], times factor,\n"
             "uint64[N], both transformed, and by wide Gaussian errors of the streams first_index, first_index + 1,\n"
             "... of (seed, domain).\n\n"
             "Raises OverflowError for a field of 2**field_bits or more; BufferError for an array of the wrong type or\n"
             "layout; ValueError for a wrong size, a number or another value out of range, an unknown target, or if\n"
             "out and an input share memory. Nothing has been written then, but zeros for a value out of range.");

static PyObject *encrypt_polynomials(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out",        "fields",     "polynomials",            "factor",       "seed",   "domain",
                            "first_index", "field_bits", "fields_per_coefficient", "dropped_bits", "target", NULL};
    PyObject *out_object, *fields_object, *polynomials, *factor, *seed, *domain, *first_index;
    int field_bits, fields_per_coefficient, dropped_bits, found, is_done = 0;
    size_t coefficients, out_bytes;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    struct dcsfl_rlwe_layout layout;
    struct dcsfl_py_stream errors;
    struct open_masks opened;
    Py_buffer out, fields;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOOiii|$z:encrypt_polynomials", names, &out_object,
                                     &fields_object, &polynomials, &factor, &seed, &domain, &first_index, &field_bits,
                                     &fields_per_coefficient, &dropped_bits, &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || parse_layout(&layout, field_bits, fields_per_coefficient, dropped_bits) < 0)
        return NULL;
    if (dcsfl_py_open_array(&fields, fields_object, "fields", ITEM_UINT32, 1, 0) < 0)
        return NULL;
    if (dcsfl_py_open_array(&out, out_object, "out", ITEM_UINT8, 1, 1) < 0)
        goto close_fields;
    if (dcsfl_py_open_stream(&errors, seed, domain, first_index) < 0)
        goto close_out;
    coefficients = dcsfl_pack_word_count(&layout.words, (size_t)fields.shape[0]);
    out_bytes = dcsfl_coefficient_bytes(coefficients, DCSFL_Q_BITS - layout.dropped_bits);
    if (open_masks(&opened, module, target->ring, polynomials, factor, coefficients) < 0)
        goto close_errors;
    if ((size_t)out.len != out_bytes) {
        PyErr_Format(PyExc_ValueError, "out has %zd bytes, expected %zu", out.len, out_bytes);
    } else if (check_streams(&errors, opened.polynomials.shape[0]) == 0 &&
               dcsfl_py_check_apart(&out, &fields, "fields") == 0 &&
               dcsfl_py_check_apart(&out, &errors.seed, "seed") == 0 &&
               dcsfl_py_check_apart(&out, &opened.polynomials, "polynomials") == 0 &&
               dcsfl_py_check_apart(&out, &opened.factor, "factor") == 0) {
        Py_BEGIN_ALLOW_THREADS
        found = dcsfl_rlwe_encrypt(target, &opened.masks, &layout, &errors.stream, (uint8_t *)out.buf,
                                    (const uint32_t *)fields.buf, (size_t)fields.shape[0]);
        Py_END_ALLOW_THREADS
        is_done = finish(found, &out, &layout) == 0;
    }
    close_masks(&opened);
close_errors:
    dcsfl_py_close_stream(&errors);
close_out:
    PyBuffer_Release(&out);
close_fields:
    PyBuffer_Release(&fields);
    if (!is_done)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(decrypt_polynomials_doc,
             "decrypt_polynomials(out, sums, polynomials, factor, field_bits, fields_per_coefficient, dropped_bits, *,\n"
             "                    target=None)\n--\n\n"
             "Take polynomials, uint64[ceil(m / N), N], times factor, uint64[N], both transformed, away from sums,\n"
             "uint64[m], any values, and round to fields below 2**field_bits: out, uint32[n], of which there are\n"
             "fields_per_coefficient to a sum, m = ceil(n / fields_per_coefficient).\n\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a wrong size, a number or\n"
             "a value out of range, an unknown target, or if out and an input share memory. Nothing has been\n"
             "written then, but zeros for a value out of range.");

static PyObject *decrypt_polynomials(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out",        "sums",                   "polynomials",  "factor",
                            "field_bits", "fields_per_coefficient", "dropped_bits", "target", NULL};
    PyObject *out_object, *sums_object, *polynomials, *factor;
    int field_bits, fields_per_coefficient, dropped_bits, found, is_done = 0;
    size_t coefficients;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    struct dcsfl_rlwe_layout layout;
    struct open_masks opened;
    Py_buffer out, sums;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOiii|$z:decrypt_polynomials", names, &out_object, &sums_object,
                                     &polynomials, &factor, &field_bits, &fields_per_coefficient, &dropped_bits,
                                     &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || parse_layout(&layout, field_bits, fields_per_coefficient, dropped_bits) < 0)
        return NULL;
    if (dcsfl_py_open_array(&sums, sums_object, "sums", ITEM_UINT64, 1, 0) < 0)
        return NULL;
    if (dcsfl_py_open_array(&out, out_object, "out", ITEM_UINT32, 1, 1) < 0)
        goto close_sums;
    if (open_masks(&opened, module, target->ring, polynomials, factor, (size_t)sums.shape[0]) < 0)
        goto close_out;
    coefficients = dcsfl_pack_word_count(&layout.words, (size_t)out.shape[0]);
    if (coefficients != (size_t)sums.shape[0]) {
        PyErr_Format(PyExc_ValueError, "out has %zd fields in %zu coefficients, sums %zd", out.shape[0], coefficients,
                     sums.shape[0]);
    } else if (dcsfl_py_check_apart(&out, &sums, "sums") == 0 &&
               dcsfl_py_check_apart(&out, &opened.polynomials, "polynomials") == 0 &&
               dcsfl_py_check_apart(&out, &opened.factor, "factor") == 0) {
        Py_BEGIN_ALLOW_THREADS
        found = dcsfl_rlwe_decrypt(target, &opened.masks, &layout, (uint32_t *)out.buf, (const uint64_t *)sums.buf,
                                    (size_t)out.shape[0]);
        Py_END_ALLOW_THREADS
        is_done = finish(found, &out, &layout) == 0;
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
