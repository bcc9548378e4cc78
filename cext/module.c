/* he_core._native: the fast path as a Python extension. Targets, argument checks and the module itself. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"

#define CAP_VARIABLE "DCSFL_CPU_TARGET"

struct module_state {
    uint32_t features;
    const struct dcsfl_target *target; /* used where a call names none */
    struct dcsfl_py_rings rings;
};

static struct module_state *state_of(PyObject *module) {
    return (struct module_state *)PyModule_GetState(module);
}

struct dcsfl_py_rings *dcsfl_py_rings(PyObject *module) {
    return &state_of(module)->rings;
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

const struct dcsfl_target *dcsfl_py_target(PyObject *module, const char *name) {
    const struct module_state *state = state_of(module);
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

/* struct-module codes of an item type; C has two for an unsigned integer of 8 bytes. */
static const struct {
    const char *codes;
    const char *name;
    size_t alignment;
} items[] = {
    [ITEM_UINT8] = {"B", "uint8", 1},
    [ITEM_INT8] = {"b", "int8", 1},
    [ITEM_UINT32] = {"I", "uint32", _Alignof(uint32_t)},
    [ITEM_UINT64] = {sizeof(unsigned long) == 8 ? "LQ" : "Q", "uint64", _Alignof(uint64_t)},
    [ITEM_FLOAT32] = {"f", "float32", _Alignof(float)},
    [ITEM_FLOAT64] = {"d", "float64", _Alignof(double)},
};

/* The format code of a view without its native-order mark; exporters that give none mean bytes. */
static const char *format_of(const Py_buffer *view) {
    const char *format = view->format == NULL ? "B" : view->format;
    return *format == '@' ? format + 1 : format;
}

static int has_format(const Py_buffer *view, enum dcsfl_py_item item) {
    const char *format = format_of(view);
    return format[0] != '\0' && format[1] == '\0' && strchr(items[item].codes, format[0]) != NULL;
}

int dcsfl_py_open_array(Py_buffer *view, PyObject *object, const char *name, enum dcsfl_py_item item, int ndim,
                        int writable) {
    /* The least demanding request, so that every refusal is this function's and names the argument. */
    if (PyObject_GetBuffer(object, view, PyBUF_RECORDS_RO) < 0)
        return -1;
    if (!has_format(view, item))
        PyErr_Format(PyExc_BufferError, "%s has item format '%s', expected '%c' (%s)", name, format_of(view),
                     items[item].codes[0], items[item].name);
    else if (view->ndim != ndim)
        PyErr_Format(PyExc_BufferError, "%s has %d dimension(s), expected %d", name, view->ndim, ndim);
    else if (!PyBuffer_IsContiguous(view, 'C'))
        PyErr_Format(PyExc_BufferError, "%s is not C-contiguous", name);
    else if ((uintptr_t)view->buf % items[item].alignment != 0)
        PyErr_Format(PyExc_BufferError, "%s is not aligned to %zu bytes", name, items[item].alignment);
    else if (writable && view->readonly)
        PyErr_Format(PyExc_BufferError, "%s is read-only", name);
    else
        return 0;
    PyBuffer_Release(view);
    return -1;
}

int dcsfl_py_check_apart(const Py_buffer *out, const Py_buffer *in, const char *in_name) {
    const uintptr_t out_at = (uintptr_t)out->buf, in_at = (uintptr_t)in->buf;

    if (out->len == 0 || in->len == 0 || out_at >= in_at + (uintptr_t)in->len ||
        in_at >= out_at + (uintptr_t)out->len)
        return 0;
    PyErr_Format(PyExc_ValueError, "out and %s share memory", in_name);
    return -1;
}

/* --- functions ----------------------------------------------------------------------------------- */

PyDoc_STRVAR(target_doc, "target()\n--\n\nThe name of the target in use, such as 'portable' or 'avx2'.");

static PyObject *target(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    return PyUnicode_FromString(state_of(module)->target->name);
}

PyDoc_STRVAR(targets_doc, "targets()\n--\n\nThe names of the targets that run here, slowest first.");

static PyObject *targets(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    return target_names(state_of(module)->features, 0);
}

/* --- module -------------------------------------------------------------------------------------- */

static PyMethodDef *const rooms[] = {
    dcsfl_py_checksum_methods,
    dcsfl_py_codec_methods,
    dcsfl_py_coefficient_methods,
    dcsfl_py_pack_methods,
    dcsfl_py_paillier_methods,
    dcsfl_py_ring_methods,
    dcsfl_py_rlwe_methods,
    dcsfl_py_sample_methods,
};

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
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++)
        if (PyModule_AddFunctions(module, rooms[i]) < 0)
            return -1;
    return 0;
}

static void module_free(void *module) {
    struct module_state *state = state_of((PyObject *)module);

    if (state != NULL) /* there is none if the module was not executed */
        dcsfl_py_rings_free(&state->rings);
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
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__native(void);

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
