/* Ciphertext coefficients for Python: pack/coefficients.h behind pack_coefficients and unpack_coefficients. */
#include "module.h"

#include <string.h>

#include "pack/coefficients.h"

/* ValueError unless a width is allowed and `bytes` is as long as the coefficients of `words` are at that width. */
static int check_sizes(const Py_buffer *words, const Py_buffer *bytes, const char *bytes_name, Py_ssize_t width) {
    const size_t count = (size_t)words->shape[0];
    size_t expected;

    if (width < 1 || width > DCSFL_COEFFICIENT_MAX_WIDTH) {
        PyErr_Format(PyExc_ValueError, "width=%zd is outside [1, %d]", width, DCSFL_COEFFICIENT_MAX_WIDTH);
        return -1;
    }
    expected = dcsfl_coefficient_bytes(count, (unsigned)width);
    if ((size_t)bytes->shape[0] == expected)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, expected %zu for %zu coefficients of %zd bits", bytes_name,
                 bytes->shape[0], expected, count, width);
    return -1;
}

/* Open and check both arrays, the one that is written first; 0, or -1 with an exception set. */
static int open_arrays(Py_buffer *words, Py_buffer *bytes, PyObject *out, PyObject *in, Py_ssize_t width, int packs) {
    const char *words_name = packs ? "words" : "out", *bytes_name = packs ? "out" : "packed";

    if (dcsfl_py_open_array(words, packs ? in : out, words_name, ITEM_UINT64, 1, !packs) < 0)
        return -1;
    if (dcsfl_py_open_array(bytes, packs ? out : in, bytes_name, ITEM_UINT8, 1, packs) < 0) {
        PyBuffer_Release(words);
        return -1;
    }
    if (check_sizes(words, bytes, bytes_name, width) == 0 &&
        dcsfl_py_check_apart(packs ? bytes : words, packs ? words : bytes, packs ? "words" : "packed") == 0)
        return 0;
    PyBuffer_Release(bytes);
    PyBuffer_Release(words);
    return -1;
}

/* OverflowError(message, index), so that a caller can build an error of its own. */
static PyObject *refuse_coefficient(size_t index, unsigned long long limit) {
    PyObject *message =
        PyUnicode_FromFormat("coefficient %zu is outside [0, %llu)", index, limit);
    PyObject *arguments = message == NULL ? NULL : Py_BuildValue("(Nn)", message, (Py_ssize_t)index);

    if (arguments != NULL) {
        PyErr_SetObject(PyExc_OverflowError, arguments);
        Py_DECREF(arguments);
    }
    return NULL;
}

/* --- functions ----------------------------------------------------------------------------------- */

PyDoc_STRVAR(pack_coefficients_doc,
             "pack_coefficients(out, words, width, *, target=None)\n--\n\n"
             "Pack uint64[n], each in [0, 2**width), into out, uint8[ceil(n * width / 8)]; 1 <= width <= 56.\n\n"
             "Raises ValueError if a word is 2**width or more, and then out is all zeros; BufferError for an\n"
             "array of the wrong type or layout; ValueError for a wrong size, width or target, or if the\n"
             "arrays share memory. After the last two nothing has been written.");

static PyObject *pack_coefficients(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "words", "width", "target", NULL};
    PyObject *out, *in;
    Py_buffer words, bytes;
    Py_ssize_t width;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    int out_of_range;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOn|$z:pack_coefficients", names, &out, &in, &width,
                                     &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || open_arrays(&words, &bytes, out, in, width, 1) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    out_of_range = target->coefficients->pack((uint8_t *)bytes.buf, (const uint64_t *)words.buf,
                                              (size_t)words.shape[0], (unsigned)width);
    if (out_of_range)
        memset(bytes.buf, 0, (size_t)bytes.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&bytes);
    PyBuffer_Release(&words);
    if (out_of_range)
        return PyErr_Format(PyExc_ValueError, "a word is outside [0, 2**%zd)", width);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(unpack_coefficients_doc,
             "unpack_coefficients(out, packed, width, limit, *, target=None)\n--\n\n"
             "Unpack packed, uint8[ceil(n * width / 8)], into out, uint64[n], each in [0, limit).\n\n"
             "1 <= width <= 56 and 1 <= limit <= 2**width. Raises OverflowError(message, index) for the first\n"
             "coefficient of limit or more; ValueError if padding bits are set; BufferError for an array of\n"
             "the wrong type or layout; ValueError for a wrong size, width, limit or target, or if the arrays\n"
             "share memory. In all other cases nothing has been written; after the first, out holds the\n"
             "coefficients before that index, and from there on nothing of meaning.");

static PyObject *unpack_coefficients(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "packed", "width", "limit", "target", NULL};
    PyObject *out, *in, *limit_object;
    Py_buffer words, bytes;
    Py_ssize_t width;
    size_t count, good = 0;
    unsigned long long limit;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    int padding_is_zero;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOnO!|$z:unpack_coefficients", names, &out, &in, &width,
                                     &PyLong_Type, &limit_object, &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || open_arrays(&words, &bytes, out, in, width, 0) < 0)
        return NULL;
    count = (size_t)words.shape[0];
    limit = PyLong_AsUnsignedLongLong(limit_object);
    if (PyErr_Occurred() || limit < 1 || limit > 1ULL << width) {
        /* Also in place of the OverflowError of an integer beyond 64 bits, which has another meaning here. */
        PyErr_Format(PyExc_ValueError, "limit=%R is outside [1, 2**%zd]", limit_object, width);
        PyBuffer_Release(&bytes);
        PyBuffer_Release(&words);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    padding_is_zero = dcsfl_coefficient_padding_is_zero((const uint8_t *)bytes.buf, count, (unsigned)width);
    if (padding_is_zero)
        good = target->coefficients->unpack((uint64_t *)words.buf, (const uint8_t *)bytes.buf, count,
                                            (unsigned)width, limit);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&bytes);
    PyBuffer_Release(&words);
    if (!padding_is_zero)
        return PyErr_Format(PyExc_ValueError, "the padding bits after %zu coefficients of %zd bits are not zero",
                            count, width);
    if (good < count)
        return refuse_coefficient(good, limit);
    Py_RETURN_NONE;
}

PyMethodDef dcsfl_py_coefficient_methods[] = {
    {"pack_coefficients", (PyCFunction)(void (*)(void))pack_coefficients, METH_VARARGS | METH_KEYWORDS,
     pack_coefficients_doc},
    {"unpack_coefficients", (PyCFunction)(void (*)(void))unpack_coefficients, METH_VARARGS | METH_KEYWORDS,
     unpack_coefficients_doc},
    {NULL, NULL, 0, NULL},
};
