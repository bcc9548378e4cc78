/* Streams and samplers for Python: sample/sample.h behind chacha20, sample_gaussian, map_gaussian, expand_uniform. */
#include "module.h"

#include <string.h>

#include "sample/gaussian.h"
#include "sample/sample.h"

/* ValueError unless `object` is an integer in [0, most]; otherwise fills *value. */
static int parse_unsigned(uint64_t *value, PyObject *object, const char *name, uint64_t most) {
    PyObject *index = PyNumber_Index(object);
    unsigned long long parsed;

    if (index == NULL)
        return -1;
    parsed = PyLong_AsUnsignedLongLong(index);
    if (parsed == (unsigned long long)-1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            Py_DECREF(index);
            return -1;
        }
        PyErr_Clear();
    } else if (parsed <= most) {
        Py_DECREF(index);
        *value = parsed;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s=%R is outside [0, %llu]", name, index, (unsigned long long)most);
    Py_DECREF(index);
    return -1;
}

int dcsfl_py_open_stream(struct dcsfl_py_stream *opened, PyObject *seed, PyObject *domain, PyObject *index) {
    uint64_t domain_value;

    if (parse_unsigned(&domain_value, domain, "domain", UINT32_MAX) < 0 ||
        parse_unsigned(&opened->stream.index, index, "index", UINT64_MAX) < 0)
        return -1;
    if (dcsfl_py_open_array(&opened->seed, seed, "seed", ITEM_UINT8, 1, 0) < 0)
        return -1;
    if (opened->seed.len != DCSFL_SEED_BYTES) {
        PyErr_Format(PyExc_ValueError, "seed has %zd bytes, expected %d", opened->seed.len, DCSFL_SEED_BYTES);
        PyBuffer_Release(&opened->seed);
        return -1;
    }
    opened->stream.seed = (const uint8_t *)opened->seed.buf;
    opened->stream.domain = (uint32_t)domain_value;
    return 0;
}

void dcsfl_py_close_stream(struct dcsfl_py_stream *opened) {
    PyBuffer_Release(&opened->seed);
}

/* Open `out` and the stream, apart from each other. Close both after 0. */
static int open_out_and_stream(Py_buffer *out, enum dcsfl_py_item item, int ndim, struct dcsfl_py_stream *opened,
                               PyObject *out_object, PyObject *seed, PyObject *domain, PyObject *index) {
    if (dcsfl_py_open_stream(opened, seed, domain, index) < 0)
        return -1;
    if (dcsfl_py_open_array(out, out_object, "out", item, ndim, 1) == 0) {
        if (dcsfl_py_check_apart(out, &opened->seed, "seed") == 0)
            return 0;
        PyBuffer_Release(out);
    }
    dcsfl_py_close_stream(opened);
    return -1;
}

/* ValueError if `name` is no width; NULL then. */
static const struct dcsfl_gaussian_table *parse_width(const char *name) {
    if (strcmp(name, "narrow") == 0)
        return &dcsfl_gaussian_narrow;
    if (strcmp(name, "wide") == 0)
        return &dcsfl_gaussian_wide;
    PyErr_Format(PyExc_ValueError, "width='%.100s' is none of ('narrow', 'wide')", name);
    return NULL;
}

/* The number of groups in out[n]; ValueError unless n is a multiple of 64 and a stream has enough for it. */
static int count_groups(size_t *groups, const Py_buffer *out) {
    const size_t count = (size_t)out->shape[0];

    *groups = count / DCSFL_GAUSSIAN_GROUP;
    if (count % DCSFL_GAUSSIAN_GROUP == 0 && *groups <= DCSFL_GAUSSIAN_MOST_GROUPS)
        return 0;
    PyErr_Format(PyExc_ValueError, "out has %zu samples, expected a multiple of %d, at most %llu", count,
                 DCSFL_GAUSSIAN_GROUP, (unsigned long long)DCSFL_GAUSSIAN_MOST_GROUPS * DCSFL_GAUSSIAN_GROUP);
    return -1;
}

/* --- functions ----------------------------------------------------------------------------------- */

PyDoc_STRVAR(chacha20_doc,
             "chacha20(out, seed, domain, index, first_block, *, target=None)\n--\n\n"
             "Fill out, uint8[64 * blocks], with blocks of the stream of seed, uint8[32], from first_block on.\n\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a wrong size, a number\n"
             "out of range, an unknown target, or if the arrays share memory. Nothing has been written then.");

static PyObject *chacha20(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "seed", "domain", "index", "first_block", "target", NULL};
    PyObject *out_object, *seed, *domain, *index, *first_block;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    struct dcsfl_py_stream opened;
    Py_buffer out;
    uint64_t first;
    size_t blocks;
    int is_refused = 1;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO|$z:chacha20", names, &out_object, &seed, &domain, &index,
                                     &first_block, &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || parse_unsigned(&first, first_block, "first_block", UINT32_MAX) < 0 ||
        open_out_and_stream(&out, ITEM_UINT8, 1, &opened, out_object, seed, domain, index) < 0)
        return NULL;
    blocks = (size_t)out.len / DCSFL_CHACHA20_BLOCK_BYTES;
    if (out.len % DCSFL_CHACHA20_BLOCK_BYTES != 0) {
        PyErr_Format(PyExc_ValueError, "out has %zd bytes, expected a multiple of %d", out.len,
                     DCSFL_CHACHA20_BLOCK_BYTES);
    } else if (blocks > (UINT64_C(1) << 32) - first) {
        PyErr_Format(PyExc_ValueError, "%zu blocks from first_block=%llu on pass the stream's end at 2**32", blocks,
                     (unsigned long long)first);
    } else {
        is_refused = 0;
        Py_BEGIN_ALLOW_THREADS
        target->sample->chacha20((uint8_t *)out.buf, blocks, &opened.stream, (uint32_t)first);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    dcsfl_py_close_stream(&opened);
    if (is_refused)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(sample_gaussian_doc,
             "sample_gaussian(out, seed, domain, index, width, *, target=None)\n--\n\n"
             "Fill out, int8[n], n a multiple of 64, with discrete Gaussians from the stream of seed, uint8[32].\n\n"
             "width: 'narrow', sigma 4.5, or 'wide', sigma 4.5 * sqrt(2). Raises as chacha20 does.");

static PyObject *sample_gaussian(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "seed", "domain", "index", "width", "target", NULL};
    PyObject *out_object, *seed, *domain, *index;
    const char *width, *target_name = NULL;
    const struct dcsfl_target *target;
    const struct dcsfl_gaussian_table *table;
    struct dcsfl_py_stream opened;
    Py_buffer out;
    size_t groups;
    int is_refused;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOs|$z:sample_gaussian", names, &out_object, &seed, &domain,
                                     &index, &width, &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL)
        return NULL;
    table = parse_width(width);
    if (table == NULL ||
        open_out_and_stream(&out, ITEM_INT8, 1, &opened, out_object, seed, domain, index) < 0)
        return NULL;
    is_refused = count_groups(&groups, &out);
    if (!is_refused) {
        Py_BEGIN_ALLOW_THREADS
        dcsfl_sample_gaussian(target->sample, table, (int8_t *)out.buf, groups, &opened.stream);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    dcsfl_py_close_stream(&opened);
    if (is_refused)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(map_gaussian_doc,
             "map_gaussian(out, stream, width, *, target=None)\n--\n\n"
             "Map stream, uint8[6 * n], to out, int8[n], n a multiple of 64: what sample_gaussian does with the\n"
             "bytes of its stream.\n\n"
             "Raises as chacha20 does.");

static PyObject *map_gaussian(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "stream", "width", "target", NULL};
    PyObject *out_object, *stream_object;
    const char *width, *target_name = NULL;
    const struct dcsfl_target *target;
    const struct dcsfl_gaussian_table *table;
    Py_buffer out, stream;
    size_t groups;
    int is_refused;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOs|$z:map_gaussian", names, &out_object, &stream_object, &width,
                                     &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL)
        return NULL;
    table = parse_width(width);
    if (table == NULL ||
        dcsfl_py_open_array(&stream, stream_object, "stream", ITEM_UINT8, 1, 0) < 0)
        return NULL;
    if (dcsfl_py_open_array(&out, out_object, "out", ITEM_INT8, 1, 1) < 0) {
        PyBuffer_Release(&stream);
        return NULL;
    }
    is_refused = count_groups(&groups, &out) < 0 || dcsfl_py_check_apart(&out, &stream, "stream") < 0;
    if (!is_refused && (size_t)stream.len != groups * DCSFL_GAUSSIAN_GROUP_BYTES) {
        PyErr_Format(PyExc_ValueError, "stream has %zd bytes, expected %zu for %zu samples", stream.len,
                     groups * DCSFL_GAUSSIAN_GROUP_BYTES, groups * DCSFL_GAUSSIAN_GROUP);
        is_refused = 1;
    }
    if (!is_refused) {
        Py_BEGIN_ALLOW_THREADS
        target->sample->gaussian(table, (int8_t *)out.buf, groups, (const uint8_t *)stream.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    PyBuffer_Release(&stream);
    if (is_refused)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(expand_uniform_doc,
             "expand_uniform(out, seed, domain, first_index, *, target=None)\n--\n\n"
             "Fill row j of out, uint64[L, N], with uniform residues mod q from the stream of seed, uint8[32],\n"
             "whose index is first_index + j.\n\n"
             "Not constant time: for public polynomials only. Raises as chacha20 does.");

static PyObject *expand_uniform(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "seed", "domain", "first_index", "target", NULL};
    PyObject *out_object, *seed, *domain, *first_index;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    struct dcsfl_py_stream opened;
    Py_buffer out;
    size_t rows, columns;
    int is_refused;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO|$z:expand_uniform", names, &out_object, &seed, &domain,
                                     &first_index, &target_name))
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL ||
        open_out_and_stream(&out, ITEM_UINT64, 2, &opened, out_object, seed, domain, first_index) < 0)
        return NULL;
    rows = (size_t)out.shape[0];
    columns = (size_t)out.shape[1];
    is_refused = 1;
    if (columns > DCSFL_UNIFORM_MOST)
        PyErr_Format(PyExc_ValueError, "out has rows of %zu residues, at most %llu come from a stream", columns,
                     (unsigned long long)DCSFL_UNIFORM_MOST);
    else if (rows > 0 && rows - 1 > UINT64_MAX - opened.stream.index)
        PyErr_Format(PyExc_ValueError, "%zu streams from first_index=%llu on pass the last one, 2**64 - 1", rows,
                     (unsigned long long)opened.stream.index);
    else
        is_refused = 0;
    if (!is_refused) {
        Py_BEGIN_ALLOW_THREADS
        for (size_t j = 0; j < rows; j++, opened.stream.index++)
            target->sample->uniform_var((uint64_t *)out.buf + j * columns, columns, &opened.stream);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    dcsfl_py_close_stream(&opened);
    if (is_refused)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef dcsfl_py_sample_methods[] = {
    {"chacha20", (PyCFunction)(void (*)(void))chacha20, METH_VARARGS | METH_KEYWORDS, chacha20_doc},
    {"sample_gaussian", (PyCFunction)(void (*)(void))sample_gaussian, METH_VARARGS | METH_KEYWORDS,
     sample_gaussian_doc},
    {"map_gaussian", (PyCFunction)(void (*)(void))map_gaussian, METH_VARARGS | METH_KEYWORDS, map_gaussian_doc},
    {"expand_uniform", (PyCFunction)(void (*)(void))expand_uniform, METH_VARARGS | METH_KEYWORDS,
     expand_uniform_doc},
    {NULL, NULL, 0, NULL},
};
