/* The ring of the rlwe scheme for Python: ring/ring.h behind forward, inverse, multiply, cover, uncover, reduce. */
#include "module.h"

#include <stdlib.h>

#include "ring/checks.h"
#include "ring/ring.h"
#include "wipe.h"

/* --- tables -------------------------------------------------------------------------------------- */

const struct dcsfl_ring *dcsfl_py_ring(PyObject *module, Py_ssize_t degree) {
    struct dcsfl_py_rings *rings = dcsfl_py_rings(module);
    struct dcsfl_ring *ring, *made;
    unsigned log2_degree = DCSFL_RING_MIN_LOG2_DEGREE;

    while (log2_degree < DCSFL_RING_MAX_LOG2_DEGREE && (Py_ssize_t)1 << log2_degree < degree)
        log2_degree++;
    if ((Py_ssize_t)1 << log2_degree != degree) {
        PyErr_Format(PyExc_ValueError, "degree %zd is no power of two in [%d, %d]", degree,
                     1 << DCSFL_RING_MIN_LOG2_DEGREE, DCSFL_RING_MAX_DEGREE);
        return NULL;
    }
    ring = atomic_load(&rings->by_log2_degree[log2_degree]);
    if (ring != NULL)
        return ring;
    made = dcsfl_ring_new(log2_degree);
    if (made == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    /* Atomic, for builds of Python without a GIL: of two threads here, the later one's tables are dropped. */
    if (atomic_compare_exchange_strong(&rings->by_log2_degree[log2_degree], &ring, made))
        return made;
    dcsfl_ring_free(made);
    return ring;
}

void dcsfl_py_rings_free(struct dcsfl_py_rings *rings) {
    for (size_t i = 0; i <= DCSFL_RING_MAX_LOG2_DEGREE; i++)
        dcsfl_ring_free(atomic_exchange(&rings->by_log2_degree[i], NULL));
}

/* --- checks -------------------------------------------------------------------------------------- */

static PyObject *refuse_residues(const char *name) {
    return PyErr_Format(PyExc_ValueError, "%s holds a value outside [0, q), q = 63 * 2**44 + 1", name);
}

static size_t count_of(const Py_buffer *view) {
    return (size_t)view->len / (size_t)view->itemsize;
}

/* Open uint64[N] or uint64[L, N]. */
static int open_polynomials(Py_buffer *view, PyObject *object, const char *name, int writable) {
    int ndim;

    if (PyObject_GetBuffer(object, view, PyBUF_RECORDS_RO) < 0)
        return -1;
    ndim = view->ndim == 2 ? 2 : 1;
    PyBuffer_Release(view);
    return dcsfl_py_open_array(view, object, name, ITEM_UINT64, ndim, writable);
}

/* ValueError unless the two have one shape. */
static int check_same_shape(const Py_buffer *view, const char *name, const Py_buffer *out) {
    int differ = view->ndim != out->ndim;

    for (int i = 0; !differ && i < view->ndim; i++)
        differ = view->shape[i] != out->shape[i];
    if (!differ)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s and out have different shapes, of %zu and %zu values", name, count_of(view),
                 count_of(out));
    return -1;
}

/* ValueError if the two share a byte, unless they are the same array. */
static int check_same_or_apart(const Py_buffer *out, const Py_buffer *in, const char *in_name) {
    if (out->buf == in->buf && out->len == in->len)
        return 0;
    return dcsfl_py_check_apart(out, in, in_name);
}

int dcsfl_py_parse_scale(struct dcsfl_ring_scale *scale, Py_ssize_t plaintext_bits, Py_ssize_t dropped_bits) {
    if (plaintext_bits < 0 || plaintext_bits > 44) {
        PyErr_Format(PyExc_ValueError, "plaintext_bits=%zd is outside [0, 44]", plaintext_bits);
        return -1;
    }
    if (dropped_bits < 0 || dropped_bits > 44 - plaintext_bits) {
        PyErr_Format(PyExc_ValueError, "dropped_bits=%zd is outside [0, %zd], for %zd plaintext bits of 44",
                     dropped_bits, 44 - plaintext_bits, plaintext_bits);
        return -1;
    }
    scale->plaintext_bits = (unsigned)plaintext_bits;
    scale->dropped_bits = (unsigned)dropped_bits;
    return 0;
}

/* --- transforms ---------------------------------------------------------------------------------- */

static PyObject *transform(PyObject *module, PyObject *args, PyObject *kwargs, int is_forward) {
    static char *names[] = {"poly", "target", NULL};
    const struct dcsfl_target *target;
    const struct dcsfl_ring *ring;
    const char *target_name = NULL;
    PyObject *object;
    Py_buffer poly;
    int in_range = 0;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, is_forward ? "O|$z:forward" : "O|$z:inverse", names, &object,
                                     &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || open_polynomials(&poly, object, "poly", 1) < 0)
        return NULL;
    ring = dcsfl_py_ring(module, poly.shape[poly.ndim - 1]);
    if (ring != NULL) {
        dcsfl_ring_transform_fn *kernel = is_forward ? target->ring->forward : target->ring->inverse;
        uint64_t *values = (uint64_t *)poly.buf;
        Py_BEGIN_ALLOW_THREADS
        in_range = target->ring->are_below(values, count_of(&poly), DCSFL_Q);
        for (size_t i = 0; in_range && i < count_of(&poly); i += dcsfl_ring_degree(ring))
            kernel(ring, values + i);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&poly);
    if (ring == NULL)
        return NULL;
    if (!in_range)
        return refuse_residues("poly");
    Py_RETURN_NONE;
}

PyDoc_STRVAR(forward_doc,
             "forward(poly, *, target=None)\n--\n\n"
             "Transform poly, uint64[N] or uint64[L, N] of values below q = 63 * 2**44 + 1, in place.\n\n"
             "poly[i] becomes poly(psi**(2*r(i) + 1)), r(i) the reversal of i's bits, psi = 11**((q-1) / 2N).\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a value of q or more,\n"
             "a wrong degree or target. Nothing has been written then.");

static PyObject *forward(PyObject *module, PyObject *args, PyObject *kwargs) {
    return transform(module, args, kwargs, 1);
}

PyDoc_STRVAR(inverse_doc, "inverse(poly, *, target=None)\n--\n\n"
                          "The inverse of forward, in place. Raises as forward does.");

static PyObject *inverse(PyObject *module, PyObject *args, PyObject *kwargs) {
    return transform(module, args, kwargs, 0);
}

/* What multiply takes, opened. */
struct product {
    const struct dcsfl_target *target;
    const struct dcsfl_ring *ring;
    Py_buffer out;
    Py_buffer transformed;
    Py_buffer factor;
};

/* NULL, or the argument that holds a value out of range. Wipes what it made of the factor, which may be secret. */
static const char *run_product(const struct product *product, struct dcsfl_ring_factor *prepared) {
    const struct dcsfl_ring_kernels *kernels = product->target->ring;
    const size_t degree = dcsfl_ring_degree(product->ring), count = count_of(&product->out);
    const uint64_t *factor = (const uint64_t *)product->factor.buf;
    const uint64_t *transformed = (const uint64_t *)product->transformed.buf;
    uint64_t *out = (uint64_t *)product->out.buf;

    if (!kernels->are_below(factor, degree, DCSFL_Q))
        return "factor";
    if (!kernels->are_below(transformed, count, DCSFL_Q))
        return "transformed";
    kernels->prepare(product->ring, prepared, factor);
    for (size_t i = 0; i < count; i += degree)
        kernels->multiply(product->ring, out + i, transformed + i, prepared);
    dcsfl_wipe(prepared, sizeof *prepared);
    return NULL;
}

/* Check and compute; NULL with an exception set, or None. */
static PyObject *finish_product(PyObject *module, struct product *product) {
    struct dcsfl_ring_factor *prepared;
    const char *refused;

    product->ring = dcsfl_py_ring(module, product->factor.shape[0]);
    if (product->ring == NULL || check_same_shape(&product->transformed, "transformed", &product->out) < 0 ||
        dcsfl_py_check_apart(&product->out, &product->transformed, "transformed") < 0 ||
        dcsfl_py_check_apart(&product->out, &product->factor, "factor") < 0)
        return NULL;
    if (product->out.shape[1] != product->factor.shape[0])
        return PyErr_Format(PyExc_ValueError, "out has polynomials of %zd values, factor one of %zd",
                            product->out.shape[1], product->factor.shape[0]);
    prepared = aligned_alloc(_Alignof(struct dcsfl_ring_factor), sizeof *prepared);
    if (prepared == NULL)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    refused = run_product(product, prepared);
    Py_END_ALLOW_THREADS
    free(prepared);
    if (refused != NULL)
        return refuse_residues(refused);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(multiply_doc,
             "multiply(out, transformed, factor, *, target=None)\n--\n\n"
             "Multiply each of transformed, uint64[L, N], by factor, uint64[N], coefficient by coefficient, and\n"
             "write the inverse transforms of the products to out, uint64[L, N].\n\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a value of q or more, a\n"
             "wrong shape, degree or target, or if out shares memory with another. Nothing has been written then.");

static PyObject *multiply(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "transformed", "factor", "target", NULL};
    PyObject *out, *transformed, *factor, *result = NULL;
    struct product product;
    const char *target_name = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$z:multiply", names, &out, &transformed, &factor,
                                     &target_name))
        return NULL;
    product.target = dcsfl_py_target(module, target_name);
    if (product.target == NULL || dcsfl_py_open_array(&product.out, out, "out", ITEM_UINT64, 2, 1) < 0)
        return NULL;
    if (dcsfl_py_open_array(&product.transformed, transformed, "transformed", ITEM_UINT64, 2, 0) == 0) {
        if (dcsfl_py_open_array(&product.factor, factor, "factor", ITEM_UINT64, 1, 0) == 0) {
            result = finish_product(module, &product);
            PyBuffer_Release(&product.factor);
        }
        PyBuffer_Release(&product.transformed);
    }
    PyBuffer_Release(&product.out);
    return result;
}

/* --- scaling ------------------------------------------------------------------------------------- */

/* What cover and uncover take, opened; `errors` only for cover. */
struct scaling {
    const struct dcsfl_target *target;
    struct dcsfl_ring_scale scale;
    Py_buffer out;
    Py_buffer mask;
    Py_buffer values; /* words or sums */
    Py_buffer errors;
};

static int check_scaling(const struct scaling *call, int covers) {
    if (check_same_shape(&call->mask, "mask", &call->out) < 0 ||
        check_same_shape(&call->values, covers ? "words" : "sums", &call->out) < 0 ||
        check_same_or_apart(&call->out, &call->mask, "mask") < 0 ||
        check_same_or_apart(&call->out, &call->values, covers ? "words" : "sums") < 0)
        return -1;
    if (!covers)
        return 0;
    if (check_same_shape(&call->errors, "errors", &call->out) < 0)
        return -1;
    return dcsfl_py_check_apart(&call->out, &call->errors, "errors");
}

/* Check and compute; NULL with an exception set, or None. */
static PyObject *finish_scaling(const struct scaling *call, int covers) {
    const size_t count = count_of(&call->out);
    const uint64_t *mask = (const uint64_t *)call->mask.buf, *values = (const uint64_t *)call->values.buf;
    uint64_t *out = (uint64_t *)call->out.buf;
    int mask_in_range, words_in_range = 1;

    if (check_scaling(call, covers) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    mask_in_range = call->target->ring->are_below(mask, count, DCSFL_Q);
    if (covers)
        words_in_range = call->target->ring->are_below(values, count, UINT64_C(1) << call->scale.plaintext_bits);
    if (mask_in_range && words_in_range) {
        if (covers)
            call->target->ring->cover(&call->scale, out, count, mask, (const int8_t *)call->errors.buf, values);
        else
            call->target->ring->uncover(&call->scale, out, count, mask, values);
    }
    Py_END_ALLOW_THREADS
    if (!mask_in_range)
        return refuse_residues("mask");
    if (!words_in_range)
        return PyErr_Format(PyExc_ValueError, "words holds a value outside [0, 2**%u)", call->scale.plaintext_bits);
    Py_RETURN_NONE;
}

static PyObject *open_and_scale(struct scaling *call, PyObject *out, PyObject *mask, PyObject *errors,
                                PyObject *values) {
    PyObject *result = NULL;

    if (dcsfl_py_open_array(&call->out, out, "out", ITEM_UINT64, 1, 1) < 0)
        return NULL;
    if (dcsfl_py_open_array(&call->mask, mask, "mask", ITEM_UINT64, 1, 0) == 0) {
        if (dcsfl_py_open_array(&call->values, values, errors != NULL ? "words" : "sums", ITEM_UINT64, 1, 0) == 0) {
            if (errors == NULL)
                result = finish_scaling(call, 0);
            else if (dcsfl_py_open_array(&call->errors, errors, "errors", ITEM_INT8, 1, 0) == 0) {
                result = finish_scaling(call, 1);
                PyBuffer_Release(&call->errors);
            }
            PyBuffer_Release(&call->values);
        }
        PyBuffer_Release(&call->mask);
    }
    PyBuffer_Release(&call->out);
    return result;
}

PyDoc_STRVAR(cover_doc,
             "cover(out, mask, errors, words, plaintext_bits, dropped_bits, *, target=None)\n--\n\n"
             "Cover words, uint64[n] below 2**plaintext_bits, with mask, uint64[n] below q, and errors, int8[n]:\n"
             "b = (mask + errors + words * 63 * 2**(44 - plaintext_bits) + half) mod q and out, uint64[n], is\n"
             "(b >> dropped_bits) mod Q', with half = 2**(dropped_bits - 1), Q' = 63 * 2**(44 - dropped_bits),\n"
             "or 0 and q where no bits are dropped. out may be words or mask.\n\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a value out of range, a\n"
             "wrong size, width or target, or if arrays share memory otherwise. Nothing has been written then.");

static PyObject *cover(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out",          "mask",   "errors", "words", "plaintext_bits",
                            "dropped_bits", "target", NULL};
    PyObject *out, *mask, *errors, *words;
    Py_ssize_t plaintext_bits, dropped_bits;
    const char *target_name = NULL;
    struct scaling call;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOnn|$z:cover", names, &out, &mask, &errors, &words,
                                     &plaintext_bits, &dropped_bits, &target_name))
        return NULL;
    call.target = dcsfl_py_target(module, target_name);
    if (call.target == NULL || dcsfl_py_parse_scale(&call.scale, plaintext_bits, dropped_bits) < 0)
        return NULL;
    return open_and_scale(&call, out, mask, errors, words);
}

PyDoc_STRVAR(uncover_doc,
             "uncover(out, mask, sums, plaintext_bits, dropped_bits, *, target=None)\n--\n\n"
             "The inverse of cover on sums, any uint64[n]: with rounded = ((mask + half) mod q) >> dropped_bits,\n"
             "difference = (sums - rounded) mod Q' and D = 63 * 2**(44 - dropped_bits - plaintext_bits), out is\n"
             "(difference + D // 2) // D mod 2**plaintext_bits. out may be sums or mask. Raises as cover does.");

static PyObject *uncover(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "mask", "sums", "plaintext_bits", "dropped_bits", "target", NULL};
    PyObject *out, *mask, *sums;
    Py_ssize_t plaintext_bits, dropped_bits;
    const char *target_name = NULL;
    struct scaling call;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOnn|$z:uncover", names, &out, &mask, &sums, &plaintext_bits,
                                     &dropped_bits, &target_name))
        return NULL;
    call.target = dcsfl_py_target(module, target_name);
    if (call.target == NULL || dcsfl_py_parse_scale(&call.scale, plaintext_bits, dropped_bits) < 0)
        return NULL;
    return open_and_scale(&call, out, mask, NULL, sums);
}

PyDoc_STRVAR(reduce_doc,
             "reduce(words, dropped_bits, *, target=None)\n--\n\n"
             "Reduce words, any uint64[n], in place to [0, Q'), Q' = 63 * 2**(44 - dropped_bits), or q where\n"
             "no bits are dropped.\n\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a wrong width or target.");

static PyObject *reduce(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"words", "dropped_bits", "target", NULL};
    PyObject *object;
    Py_ssize_t dropped_bits;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    struct dcsfl_ring_scale scale;
    Py_buffer words;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "On|$z:reduce", names, &object, &dropped_bits, &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || dcsfl_py_parse_scale(&scale, 0, dropped_bits) < 0 ||
        dcsfl_py_open_array(&words, object, "words", ITEM_UINT64, 1, 1) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    target->ring->reduce(scale.dropped_bits, (uint64_t *)words.buf, count_of(&words));
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&words);
    Py_RETURN_NONE;
}

#define WITH_KEYWORDS(function) (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS

PyMethodDef dcsfl_py_ring_methods[] = {
    {"forward", WITH_KEYWORDS(forward), forward_doc},    {"inverse", WITH_KEYWORDS(inverse), inverse_doc},
    {"multiply", WITH_KEYWORDS(multiply), multiply_doc}, {"cover", WITH_KEYWORDS(cover), cover_doc},
    {"uncover", WITH_KEYWORDS(uncover), uncover_doc},    {"reduce", WITH_KEYWORDS(reduce), reduce_doc},
    {NULL, NULL, 0, NULL},
};
