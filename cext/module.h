/*
 * What the files of the extension module share. They alone know Python: they turn arguments into pointers and
 * lengths that meet the kernels' contracts, release the GIL around the work, and turn results into exceptions.
 * One module_*.c per room of kernels; he_core/_native.pyi documents the module for its callers.
 */
#ifndef DCSFL_MODULE_H
#define DCSFL_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>

#include "dispatch.h"

/* Item types of arrays; the order is that of the table in module.c. */
enum dcsfl_py_item { ITEM_UINT8, ITEM_INT8, ITEM_UINT32, ITEM_UINT64, ITEM_FLOAT32, ITEM_FLOAT64 };

/* The target a call runs on, the module's own where `name` is NULL; NULL with ValueError set if it cannot run. */
const struct dcsfl_target *dcsfl_py_target(PyObject *module, const char *name);

/*
 * Open `object` as a C-contiguous, naturally aligned array of `ndim` dimensions. BufferError if it is not
 * that, or read-only where `writable`; TypeError if it has no buffer. Release *view if this returns 0.
 */
int dcsfl_py_open_array(Py_buffer *view, PyObject *object, const char *name, enum dcsfl_py_item item, int ndim,
                        int writable);

/* ValueError if the two arrays share a byte. */
int dcsfl_py_check_apart(const Py_buffer *out, const Py_buffer *in, const char *in_name);

/* A stream whose seed is held in a buffer until dcsfl_py_close_stream(). */
struct dcsfl_py_stream {
    Py_buffer seed;
    struct dcsfl_stream stream;
};

/* 0; or -1 with BufferError, TypeError or ValueError set. */
int dcsfl_py_open_stream(struct dcsfl_py_stream *opened, PyObject *seed, PyObject *domain, PyObject *index);
void dcsfl_py_close_stream(struct dcsfl_py_stream *opened);

/* The tables of every degree used so far; a part of the module's state, zeros at first. */
struct dcsfl_py_rings {
    _Atomic(struct dcsfl_ring *) by_log2_degree[DCSFL_RING_MAX_LOG2_DEGREE + 1];
};

struct dcsfl_py_rings *dcsfl_py_rings(PyObject *module);
void dcsfl_py_rings_free(struct dcsfl_py_rings *rings);

/* The tables of a degree, made at its first use; NULL with ValueError set if there are none. */
const struct dcsfl_ring *dcsfl_py_ring(PyObject *module, Py_ssize_t degree);

/* 0, or ValueError and -1 unless field_bits is in [1, 32]. */
int dcsfl_py_check_field_bits(Py_ssize_t field_bits);

/* ValueError unless both are at least 0 and together at most 44; otherwise fills *scale. */
int dcsfl_py_parse_scale(struct dcsfl_ring_scale *scale, Py_ssize_t plaintext_bits, Py_ssize_t dropped_bits);

/* Each room's functions, ended by a row of NULLs. */
extern PyMethodDef dcsfl_py_checksum_methods[];
extern PyMethodDef dcsfl_py_codec_methods[];
extern PyMethodDef dcsfl_py_coefficient_methods[];
extern PyMethodDef dcsfl_py_pack_methods[];
extern PyMethodDef dcsfl_py_ring_methods[];
extern PyMethodDef dcsfl_py_rlwe_methods[];
extern PyMethodDef dcsfl_py_sample_methods[];
extern PyMethodDef dcsfl_py_paillier_methods[];

#endif
