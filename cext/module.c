/*
 * he_core._native: the fast path as a Python extension. The only file that knows Python: it turns arguments
 * into pointers and lengths that meet the kernels' contracts, releases the GIL around the work, and turns
 * results into exceptions. he_core/_native.pyi documents the module for its callers.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "dispatch.h"

#define CAP_VARIABLE "DCSFL_CPU_TARGET"

struct module_state {
    uint32_t features;
    const struct dcsfl_target *target; /* used where a call names none */
};

static struct module_state *state_of(PyObject *module) {
    return (struct module_state *)PyModule_GetState(module);
}

/* --- targets ------------------------------------------------------------------------------------- */

/* A tuple of the target names; of those that run with `features` only, unless `all`. */
static PyObject *target_names(uint32_t features, int all) {
    size_t count;
    const struct dcsfl_target *targets = dcsfl_targets(&count);
    PyObject *list = PyList_New(0), *names;

    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        PyObject *name;
        int failed;
        if (!all && !dcsfl_target_runs(&targets[i], features))
            continue;
        name = PyUnicode_FromString(targets[i].name);
        failed = name == NULL || PyList_Append(list, name) < 0;
        Py_XDECREF(name);
        if (failed) {
            Py_DECREF(list);
            return NULL;
        }
    }
    names = PyList_AsTuple(list);
    Py_DECREF(list);
    return names;
}

/* The target a call runs on; NULL with ValueError set if `name` cannot run here. */
static const struct dcsfl_target *target_for_call(const struct module_state *state, const char *name) {
    const struct dcsfl_target *target;
    PyObject *names;

    if (name == NULL)
        return state->target;
    target = dcsfl_target_find(name);
    if (target != NULL && dcsfl_target_runs(target, state->features))
        return target;
    names = target_names(state->features, 0);
    if (names != NULL) {
        PyErr_Format(PyExc_ValueError, "target='%.100s' cannot run here; this build and CPU run %R", name,
                     names);
        Py_DECREF(names);
    }
    return NULL;
}

/* --- arguments ----------------------------------------------------------------------------------- */

/* ValueError unless the layout is valid; otherwise fills *layout. */
static int parse_layout(struct dcsfl_pack_layout *layout, Py_ssize_t field_bits, Py_ssize_t fields_per_word,
                        Py_ssize_t word_bytes) {
    if (field_bits < 1 || field_bits > 32) {
        PyErr_Format(PyExc_ValueError, "field_bits=%zd is outside [1, 32]", field_bits);
        return -1;
    }
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

/* The format code of a view without its native-order mark; exporters that give none mean bytes. */
static const char *format_of(const Py_buffer *view) {
    const char *format = view->format == NULL ? "B" : view->format;
    return *format == '@' ? format + 1 : format;
}

/*
 * Open `object` as a C-contiguous, naturally aligned array of `ndim` dimensions and items of format code
 * `format`. BufferError if it is not that, or read-only where `writable`; TypeError if it has no buffer.
 * Release *view if this returns 0.
 */
static int open_array(Py_buffer *view, PyObject *object, const char *name, char format, int ndim,
                      int writable) {
    const char expected[2] = {format, '\0'};
    const uintptr_t alignment = format == 'I' ? _Alignof(uint32_t) : 1;

    /* The least demanding request, so that every refusal is this function's and names the argument. */
    if (PyObject_GetBuffer(object, view, PyBUF_RECORDS_RO) < 0)
        return -1;
    if (strcmp(format_of(view), expected) != 0)
        PyErr_Format(PyExc_BufferError, "%s has item format '%s', expected '%s' (%s)", name, format_of(view),
                     expected, format == 'I' ? "uint32" : "uint8");
    else if (view->ndim != ndim)
        PyErr_Format(PyExc_BufferError, "%s has %d dimension(s), expected %d", name, view->ndim, ndim);
    else if (!PyBuffer_IsContiguous(view, 'C'))
        PyErr_Format(PyExc_BufferError, "%s is not C-contiguous", name);
    else if ((uintptr_t)view->buf % alignment != 0)
        PyErr_Format(PyExc_BufferError, "%s is not aligned to %zu bytes", name, (size_t)alignment);
    else if (writable && view->readonly)
        PyErr_Format(PyExc_BufferError, "%s is read-only", name);
    else
        return 0;
    PyBuffer_Release(view);
    return -1;
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

/* ValueError if the two arrays share a byte. */
static int check_apart(const Py_buffer *out, const Py_buffer *in, const char *in_name) {
    const uintptr_t out_at = (uintptr_t)out->buf, in_at = (uintptr_t)in->buf;

    if (out->len == 0 || in->len == 0 || out_at >= in_at + (uintptr_t)in->len ||
        in_at >= out_at + (uintptr_t)out->len)
        return 0;
    PyErr_Format(PyExc_ValueError, "out and %s share memory", in_name);
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
    call->target = target_for_call(state_of(module), target_name);
    if (call->target == NULL)
        return -1;
    if (open_array(&call->fields, packs ? in : out, packs ? "fields" : "out", 'I', 1, !packs) < 0)
        return -1;
    if (open_array(&call->words, packs ? out : in, packs ? "out" : "words", 'B', 2, packs) < 0) {
        PyBuffer_Release(&call->fields);
        return -1;
    }
    if (check_shapes(&call->layout, &call->fields, &call->words, packs ? "out" : "words") == 0 &&
        check_apart(packs ? &call->words : &call->fields, packs ? &call->fields : &call->words,
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

PyDoc_STRVAR(target_doc, "target()\n--\n\nThe name of the target in use, such as 'portable' or 'avx2'.");

static PyObject *target(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    return PyUnicode_FromString(state_of(module)->target->name);
}

PyDoc_STRVAR(targets_doc, "targets()\n--\n\nThe names of the targets that run here, slowest first.");

static PyObject *targets(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    return target_names(state_of(module)->features, 0);
}

/* --- module -------------------------------------------------------------------------------------- */

/*
 * Pick the target once. An unknown cap is a RuntimeError and not an ImportError: callers fall back to
 * another backend where this module is missing, and a misspelt cap must not look like that.
 */
static int module_exec(PyObject *module) {
    struct module_state *state = state_of(module);
    const char *cap_name = getenv(CAP_VARIABLE);
    const struct dcsfl_target *cap = NULL;

    if (cap_name != NULL && *cap_name != '\0') {
        cap = dcsfl_target_find(cap_name);
        if (cap == NULL) {
            PyObject *names = target_names(0, 1);
            if (names != NULL) {
                PyErr_Format(PyExc_RuntimeError, CAP_VARIABLE "='%.100s' is no target; allowed: %R", cap_name,
                             names);
                Py_DECREF(names);
            }
            return -1;
        }
    }
    state->features = dcsfl_cpu_features();
    state->target = dcsfl_target_select(cap, state->features);
    return 0;
}

/* The detour over an integer: ISO C has no conversion from a function pointer to void *. */
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)(uintptr_t)module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyMethodDef methods[] = {
    {"pack_fields", (PyCFunction)(void (*)(void))pack_fields, METH_VARARGS | METH_KEYWORDS, pack_fields_doc},
    {"unpack_fields", (PyCFunction)(void (*)(void))unpack_fields, METH_VARARGS | METH_KEYWORDS,
     unpack_fields_doc},
    {"target", target, METH_NOARGS, target_doc},
    {"targets", targets, METH_NOARGS, targets_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "Kernels in C, chosen once for this CPU; the environment variable " CAP_VARIABLE " caps the choice.",
    .m_size = sizeof(struct module_state),
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void);

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
