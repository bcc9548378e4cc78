/* The checksum of verified sums for Python: checksum/checksum.h behind checksum. */
#include "module.h"

#include "checksum/checksum.h"

/* Open and check both arrays; 0, or -1 with an exception set. */
static int open_arrays(Py_buffer *point, Py_buffer *fields, PyObject *point_object, PyObject *fields_object) {
    if (dcsfl_py_open_array(point, point_object, "point", ITEM_UINT8, 1, 0) < 0)
        return -1;
    if (point->shape[0] != DCSFL_CHECKSUM_POINT_BYTES)
        PyErr_Format(PyExc_ValueError, "point has %zd bytes, expected %d", point->shape[0],
                     DCSFL_CHECKSUM_POINT_BYTES);
    else if (dcsfl_py_open_array(fields, fields_object, "fields", ITEM_UINT32, 1, 0) == 0)
        return 0;
    PyBuffer_Release(point);
    return -1;
}

PyDoc_STRVAR(checksum_doc,
             "checksum(point, fields, field_bits, *, target=None)\n--\n\n"
             "The polynomial of fields, uint32[n], each in [0, 2**field_bits), at a point mod p = 2**61 - 1.\n\n"
             "Coefficient j is multiplied by x**(j+1), x the little-endian integer point, uint8[16], mod p. Up to 29\n"
             "bits a coefficient is fields[2j] + 2**32 * fields[2j+1], above that fields[j]. Returns an int in [0, p).\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a point of another size,\n"
             "a width outside [1, 32] or a wrong target.");

static PyObject *checksum(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"point", "fields", "field_bits", "target", NULL};
    PyObject *point_object, *fields_object;
    Py_buffer point, fields;
    Py_ssize_t field_bits;
    const char *target_name = NULL;
    const struct dcsfl_target *target;
    uint64_t result;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOn|$z:checksum", names, &point_object, &fields_object,
                                     &field_bits, &target_name))
        return NULL;
    if (dcsfl_py_check_field_bits(field_bits) < 0)
        return NULL;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL || open_arrays(&point, &fields, point_object, fields_object) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    result = target->checksum->checksum((const uint8_t *)point.buf, (const uint32_t *)fields.buf,
                                        (size_t)fields.shape[0], (uint32_t)field_bits);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&fields);
    PyBuffer_Release(&point);
    return PyLong_FromUnsignedLongLong(result);
}

PyMethodDef dcsfl_py_checksum_methods[] = {
    {"checksum", (PyCFunction)(void (*)(void))checksum, METH_VARARGS | METH_KEYWORDS, checksum_doc},
    {NULL, NULL, 0, NULL},
};
