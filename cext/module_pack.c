/* Field packing for Python: pack/pack.h behind pack_fields and unpack_fields. */
#include "module.h"

#include <string.h>

#include "pack/pack.h"

int dcsfl_py_check_field_bits(Py_ssize_t field_bits) {
    if (field_bits >= 1 && field_bits <= 32)
        return 0;
    PyErr_Format(PyExc_ValueError, "field_bits=%zd is outside [1, 32]", field_bits);
    return -1;
}

/* ValueError unless the layout is valid; otherwise fills *layout. */
static int parse_layout(struct dcsfl_pack_layout *layout, Py_ssize_t field_bits, Py_ssize_t fields_per_word,
                        Py_ssize_t word_bytes) {
    if (dcsfl_py_check_field_bits(field_bits) < 0)
        return -1;
    if (fields_per_word < 1) {
        PyErr_Format(PyExc_ValueError, "fields_per_word=%zd is below 1", fields_per_word);
        return -1;
    }
    if (word_bytes < 1) {
        PyErr_Format(PyExc_ValueError, "word_bytes=%zd is below 1", word_bytes);
        return -1;
    }
    layout->field_bits = (uint32_t)field_bits;
    layout->fields_per_word = (size_t)fields_per_word;
    layout->word_bytes = (size_t)word_bytes;
    if (!dcsfl_pack_layout_is_valid(layout)) {
        PyErr_Format(PyExc_ValueError, "%zd fields of %zd bits do not fit a word of %zd bytes",
                     fields_per_word, field_bits, word_bytes);
        return -1;
    }
    return 0;
}

/* ValueError unless `words` is [ceil(count / fields_per_word), word_bytes] for the count of `fields`. */
static int check_shapes(const struct dcsfl_pack_layout *layout, const Py_buffer *fields,
                        const Py_buffer *words, const char *words_name) {
    const size_t count = (size_t)fields->shape[0];
    const size_t word_count = dcsfl_pack_word_count(layout, count);

    if ((size_t)words->shape[0] == word_count && (size_t)words->shape[1] == layout->word_bytes)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has shape (%zd, %zd), expected (%zu, %zu) for %zu fields at %zu a word",
                 words_name, words->shape[0], words->shape[1], word_count, layout->word_bytes, count,
                 layout->fields_per_word);
    return -1;
}

/* What both functions take, parsed and checked: `words` is uint8[.., word_bytes], `fields` uint32[..]. */
struct call {
    const struct dcsfl_target *target;
    struct dcsfl_pack_layout layout;
    Py_buffer fields;
    Py_buffer words;
};

/* Parse and check; 0, or -1 with an exception set. close_call() after 0. */
static int open_call(struct call *call, PyObject *module, PyObject *args, PyObject *kwargs, int packs) {
    static char *pack_names[] = {"out",        "fields", "field_bits", "fields_per_word",
                                 "word_bytes", "target", NULL};
    static char *unpack_names[] = {"out",        "words",  "field_bits", "fields_per_word",
                                   "word_bytes", "target", NULL};
    PyObject *out, *in;
    Py_ssize_t field_bits, fields_per_word, word_bytes;
    const char *target_name = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, packs ? "OOnnn|$z:pack_fields" : "OOnnn|$z:unpack_fields",
                                     packs ? pack_names : unpack_names, &out, &in, &field_bits,
                                     &fields_per_word, &word_bytes, &target_name))
        return -1;
    if (parse_layout(&call->layout, field_bits, fields_per_word, word_bytes) < 0)
        return -1;
    call->target = dcsfl_py_target(module, target_name);
    if (call->target == NULL)
        return -1;
    if (dcsfl_py_open_array(&call->fields, packs ? in : out, packs ? "fields" : "out", ITEM_UINT32, 1, !packs) < 0)
        return -1;
    if (dcsfl_py_open_array(&call->words, packs ? out : in, packs ? "out" : "words", ITEM_UINT8, 2, packs) < 0) {
        PyBuffer_Release(&call->fields);
        return -1;
    }
    if (check_shapes(&call->layout, &call->fields, &call->words, packs ? "out" : "words") == 0 &&
        dcsfl_py_check_apart(packs ? &call->words : &call->fields, packs ? &call->fields : &call->words,
                    packs ? "fields" : "words") == 0)
        return 0;
    PyBuffer_Release(&call->words);
    PyBuffer_Release(&call->fields);
    return -1;
}

static void close_call(struct call *call) {
    PyBuffer_Release(&call->words);
    PyBuffer_Release(&call->fields);
}

/* --- functions ----------------------------------------------------------------------------------- */

PyDoc_STRVAR(pack_fields_doc,
             "pack_fields(out, fields, field_bits, fields_per_word, word_bytes, *, target=None)\n--\n\n"
             "Pack uint32[n] into out, uint8[ceil(n / fields_per_word), word_bytes].\n\n"
             "Raises OverflowError if a field is 2**field_bits or more, and then out is all zeros;\n"
             "BufferError for an array of the wrong type or layout; ValueError for a wrong size, layout or\n"
             "target, or if the arrays share memory. After the last two nothing has been written.");

static PyObject *pack_fields(PyObject *module, PyObject *args, PyObject *kwargs) {
    struct call call;
    int out_of_range;

    if (open_call(&call, module, args, kwargs, 1) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    out_of_range = call.target->pack->pack(&call.layout, (uint8_t *)call.words.buf, (size_t)call.words.len,
                                           (const uint32_t *)call.fields.buf, (size_t)call.fields.shape[0]);
    if (out_of_range)
        memset(call.words.buf, 0, (size_t)call.words.len);
    Py_END_ALLOW_THREADS
    close_call(&call);
    if (out_of_range)
        return PyErr_Format(PyExc_OverflowError, "a field is outside [0, 2**%u)",
                            (unsigned)call.layout.field_bits);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(unpack_fields_doc,
             "unpack_fields(out, words, field_bits, fields_per_word, word_bytes, *, target=None)\n--\n\n"
             "Unpack words, uint8[ceil(n / fields_per_word), word_bytes], into out, uint32[n].\n\n"
             "Bits above a word's last field and fields from n on are ignored. Raises BufferError for an\n"
             "array of the wrong type or layout; ValueError for a wrong size, layout or target, or if the\n"
             "arrays share memory. Nothing has been written then.");

static PyObject *unpack_fields(PyObject *module, PyObject *args, PyObject *kwargs) {
    struct call call;

    if (open_call(&call, module, args, kwargs, 0) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    call.target->pack->unpack(&call.layout, (uint32_t *)call.fields.buf, (size_t)call.fields.shape[0],
                              (const uint8_t *)call.words.buf, (size_t)call.words.len);
    Py_END_ALLOW_THREADS
    close_call(&call);
    Py_RETURN_NONE;
}

PyMethodDef dcsfl_py_pack_methods[] = {
    {"pack_fields", (PyCFunction)(void (*)(void))pack_fields, METH_VARARGS | METH_KEYWORDS, pack_fields_doc},
    {"unpack_fields", (PyCFunction)(void (*)(void))unpack_fields, METH_VARARGS | METH_KEYWORDS,
     unpack_fields_doc},
    {NULL, NULL, 0, NULL},
};
