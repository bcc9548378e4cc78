/* The codec's arithmetic for Python: codec/codec.h behind quantise and dequantise, a vector of segments a call. */
#include "module.h"

#include "codec/codec.h"
#include "wipe.h"

/* How a vector is cut into segments, and the scale of each. */
struct segments {
    Py_buffer lengths; /* uint64[S] */
    Py_buffer scales;  /* float64[S] */
};

static size_t segment_count(const struct segments *segments) {
    return (size_t)segments->lengths.shape[0];
}

static size_t segment_length(const struct segments *segments, size_t index) {
    return (size_t)((const uint64_t *)segments->lengths.buf)[index];
}

static double segment_scale(const struct segments *segments, size_t index) {
    return ((const double *)segments->scales.buf)[index];
}

static void close_segments(struct segments *segments) {
    PyBuffer_Release(&segments->scales);
    PyBuffer_Release(&segments->lengths);
}

/* ValueError unless there are as many scales as lengths and the lengths add up to `count`. */
static int check_lengths(const struct segments *segments, size_t count) {
    size_t left = count;

    if (segments->lengths.shape[0] != segments->scales.shape[0]) {
        PyErr_Format(PyExc_ValueError, "scales has %zd items, expected %zd, one per segment",
                     segments->scales.shape[0], segments->lengths.shape[0]);
        return -1;
    }
    for (size_t s = 0; s < segment_count(segments); s++) {
        if (((const uint64_t *)segments->lengths.buf)[s] > left) {
            PyErr_Format(PyExc_ValueError, "segment_lengths add up to more than the %zu values", count);
            return -1;
        }
        left -= segment_length(segments, s);
    }
    if (left == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "segment_lengths leave out %zu of %zu values", left, count);
    return -1;
}

/* Open and check; 0, or -1 with an exception set. close_segments() after 0. */
static int open_segments(struct segments *segments, PyObject *lengths, PyObject *scales, size_t count) {
    if (dcsfl_py_open_array(&segments->lengths, lengths, "segment_lengths", ITEM_UINT64, 1, 0) < 0)
        return -1;
    if (dcsfl_py_open_array(&segments->scales, scales, "scales", ITEM_FLOAT64, 1, 0) < 0) {
        PyBuffer_Release(&segments->lengths);
        return -1;
    }
    if (check_lengths(segments, count) == 0)
        return 0;
    close_segments(segments);
    return -1;
}

/* ValueError if `out` shares a byte with either: lengths that change under way would lead beyond the arrays. */
static int check_segments_apart(const Py_buffer *out, const struct segments *segments) {
    if (dcsfl_py_check_apart(out, &segments->lengths, "segment_lengths") < 0)
        return -1;
    return dcsfl_py_check_apart(out, &segments->scales, "scales");
}

/* ValueError that names a segment's scale. */
static int refuse_scale(const struct segments *segments, size_t index, const char *range) {
    PyObject *scale = PyFloat_FromDouble(segment_scale(segments, index));

    if (scale != NULL) {
        PyErr_Format(PyExc_ValueError, "scales[%zu]=%R is outside %s", index, scale, range);
        Py_DECREF(scale);
    }
    return -1;
}

/* Two arrays of the same length, one of which is written, and the other not. */
static int open_vectors(Py_buffer *out, PyObject *out_object, enum dcsfl_py_item out_item, Py_buffer *in,
                        PyObject *in_object, enum dcsfl_py_item in_item, const char *in_name) {
    if (dcsfl_py_open_array(out, out_object, "out", out_item, 1, 1) < 0)
        return -1;
    if (dcsfl_py_open_array(in, in_object, in_name, in_item, 1, 0) < 0) {
        PyBuffer_Release(out);
        return -1;
    }
    if (out->shape[0] != in->shape[0])
        PyErr_Format(PyExc_ValueError, "out has %zd items, expected %zd, as %s has", out->shape[0], in->shape[0],
                     in_name);
    else if (dcsfl_py_check_apart(out, in, in_name) == 0)
        return 0;
    PyBuffer_Release(in);
    PyBuffer_Release(out);
    return -1;
}

/* Of `left` values, how many the kernels take at once. */
static size_t next_part(size_t left) {
    return left < DCSFL_CODEC_MAX_COUNT ? left : DCSFL_CODEC_MAX_COUNT;
}

/* --- quantise ------------------------------------------------------------------------------------ */

struct quantise_call {
    const struct dcsfl_codec_kernels *kernels;
    struct dcsfl_quantiser quantiser; /* but for the scale, a segment's own */
    struct segments segments;
    Py_buffer out;
    Py_buffer values;
    Py_buffer noise; /* buf is NULL where rounding is to nearest */
};

static int open_noise(struct quantise_call *call, PyObject *noise) {
    call->noise.buf = NULL;
    if (noise == Py_None)
        return 0;
    if (dcsfl_py_open_array(&call->noise, noise, "noise", ITEM_FLOAT64, 1, 0) < 0)
        return -1;
    if (call->noise.shape[0] != call->values.shape[0])
        PyErr_Format(PyExc_ValueError, "noise has %zd items, expected %zd, one per value", call->noise.shape[0],
                     call->values.shape[0]);
    else if (dcsfl_py_check_apart(&call->out, &call->noise, "noise") == 0)
        return 0;
    PyBuffer_Release(&call->noise);
    return -1;
}

/* ValueError unless every segment's quantiser is valid. */
static int check_quantisers(struct quantise_call *call, Py_ssize_t max_code, Py_ssize_t offset) {
    if (max_code < 1 || offset < max_code || offset > 1 << 24) {
        PyErr_Format(PyExc_ValueError, "max_code=%zd and offset=%zd do not meet 1 <= max_code <= offset <= 2**24",
                     max_code, offset);
        return -1;
    }
    call->quantiser.max_code = (uint32_t)max_code;
    call->quantiser.offset = (uint32_t)offset;
    for (size_t s = 0; s < segment_count(&call->segments); s++) {
        call->quantiser.scale = segment_scale(&call->segments, s);
        if (!dcsfl_quantiser_is_valid(&call->quantiser))
            return refuse_scale(&call->segments, s, "[2**-200, 2**124]");
    }
    return 0;
}

static void close_quantise(struct quantise_call *call) {
    if (call->noise.buf != NULL)
        PyBuffer_Release(&call->noise);
    close_segments(&call->segments);
    PyBuffer_Release(&call->values);
    PyBuffer_Release(&call->out);
}

/* Parse and check; 0, or -1 with an exception set. close_quantise() after 0. */
static int open_quantise(struct quantise_call *call, PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out",    "values", "segment_lengths", "scales", "max_code",
                            "offset", "noise",  "target",          NULL};
    PyObject *out, *values, *lengths, *scales, *noise = Py_None;
    Py_ssize_t max_code, offset;
    const char *target_name = NULL;
    const struct dcsfl_target *target;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOnn|O$z:quantise", names, &out, &values, &lengths, &scales,
                                     &max_code, &offset, &noise, &target_name))
        return -1;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL)
        return -1;
    call->kernels = target->codec;
    if (open_vectors(&call->out, out, ITEM_UINT32, &call->values, values, ITEM_FLOAT32, "values") < 0)
        return -1;
    if (open_segments(&call->segments, lengths, scales, (size_t)call->values.shape[0]) == 0) {
        if (check_segments_apart(&call->out, &call->segments) == 0 &&
            check_quantisers(call, max_code, offset) == 0 && open_noise(call, noise) == 0)
            return 0;
        close_segments(&call->segments);
    }
    PyBuffer_Release(&call->values);
    PyBuffer_Release(&call->out);
    return -1;
}

/* Quantise and count what was clipped. Returns 0 if a value is not finite: `out` and the count then say nothing. */
static int quantise_segments(struct quantise_call *call, size_t *saturated) {
    uint32_t *out = (uint32_t *)call->out.buf;
    const float *values = (const float *)call->values.buf;
    const double *noise = (const double *)call->noise.buf;
    uint32_t non_finite = 0;

    *saturated = 0;
    for (size_t s = 0; s < segment_count(&call->segments); s++) {
        size_t left = segment_length(&call->segments, s);
        call->quantiser.scale = segment_scale(&call->segments, s);
        for (size_t part; left > 0; out += part, values += part, left -= part) {
            struct dcsfl_quantised found;

            part = next_part(left);
            if (noise == NULL) {
                found = call->kernels->quantise(&call->quantiser, out, values, part);
            } else {
                found = call->kernels->quantise_noisy(&call->quantiser, out, values, noise, part);
                noise += part;
            }
            *saturated += found.saturated;
            non_finite |= found.non_finite;
        }
    }
    return non_finite == 0;
}

PyDoc_STRVAR(quantise_doc,
             "quantise(out, values, segment_lengths, scales, max_code, offset, noise=None, *, target=None)\n--\n\n"
             "Scale, round and clip float32[n] to offset-binary fields in out, uint32[n].\n\n"
             "Segment s takes the next segment_lengths[s] (uint64) values: out is round(value * scales[s]), the\n"
             "scale a float64 in [2**-200, 2**124], clipped to [-max_code, max_code], plus offset. Ties go to\n"
             "even; with noise, float64[n], each in [0, 1], it is floor(value * scale + noise) instead.\n\n"
             "Returns (saturated, non_finite, first_non_finite): how many values were clipped, how many are NaN\n"
             "or infinite, and the index of the first of these, or n. If there is one, out holds zeros.\n"
             "Raises BufferError for an array of the wrong type or layout; ValueError for a wrong size, code,\n"
             "scale or target, or if out shares memory with another array. Nothing has been written then.");

static PyObject *quantise(PyObject *module, PyObject *args, PyObject *kwargs) {
    struct quantise_call call;
    size_t saturated, non_finite = 0, first_non_finite;

    if (open_quantise(&call, module, args, kwargs) < 0)
        return NULL;
    first_non_finite = (size_t)call.values.shape[0];
    Py_BEGIN_ALLOW_THREADS
    if (!quantise_segments(&call, &saturated)) {
        dcsfl_wipe(call.out.buf, (size_t)call.out.len);
        saturated = 0;
        non_finite = dcsfl_count_non_finite((const float *)call.values.buf, first_non_finite);
        first_non_finite = dcsfl_first_non_finite((const float *)call.values.buf, first_non_finite);
    }
    Py_END_ALLOW_THREADS
    close_quantise(&call);
    return Py_BuildValue("(nnn)", (Py_ssize_t)saturated, (Py_ssize_t)non_finite, (Py_ssize_t)first_non_finite);
}

/* --- dequantise ---------------------------------------------------------------------------------- */

struct dequantise_call {
    const struct dcsfl_codec_kernels *kernels;
    struct dcsfl_dequantiser dequantiser; /* but for the scale, a segment's own */
    struct segments segments;
    Py_buffer out;
    Py_buffer sums;
};

static int check_dequantisers(struct dequantise_call *call, long long bias) {
    if (bias < 0 || bias > (long long)UINT32_MAX) {
        PyErr_Format(PyExc_ValueError, "bias=%lld is outside [0, 2**32)", bias);
        return -1;
    }
    call->dequantiser.bias = (uint32_t)bias;
    for (size_t s = 0; s < segment_count(&call->segments); s++) {
        call->dequantiser.scale = segment_scale(&call->segments, s);
        if (!dcsfl_dequantiser_is_valid(&call->dequantiser))
            return refuse_scale(&call->segments, s, "[2**-200, 2**200]");
    }
    return 0;
}

static void close_dequantise(struct dequantise_call *call) {
    close_segments(&call->segments);
    PyBuffer_Release(&call->sums);
    PyBuffer_Release(&call->out);
}

/* Parse and check; 0, or -1 with an exception set. close_dequantise() after 0. */
static int open_dequantise(struct dequantise_call *call, PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "sums", "segment_lengths", "scales", "bias", "target", NULL};
    PyObject *out, *sums, *lengths, *scales;
    long long bias;
    const char *target_name = NULL;
    const struct dcsfl_target *target;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOL|$z:dequantise", names, &out, &sums, &lengths, &scales,
                                     &bias, &target_name))
        return -1;
    target = dcsfl_py_target(module, target_name);
    if (target == NULL)
        return -1;
    call->kernels = target->codec;
    if (open_vectors(&call->out, out, ITEM_FLOAT32, &call->sums, sums, ITEM_UINT32, "sums") < 0)
        return -1;
    if (open_segments(&call->segments, lengths, scales, (size_t)call->sums.shape[0]) == 0) {
        if (check_segments_apart(&call->out, &call->segments) == 0 &&
            check_dequantisers(call, bias) == 0)
            return 0;
        close_segments(&call->segments);
    }
    PyBuffer_Release(&call->sums);
    PyBuffer_Release(&call->out);
    return -1;
}

static void dequantise_segments(struct dequantise_call *call) {
    float *out = (float *)call->out.buf;
    const uint32_t *sums = (const uint32_t *)call->sums.buf;

    for (size_t s = 0; s < segment_count(&call->segments); s++) {
        size_t left = segment_length(&call->segments, s);
        call->dequantiser.scale = segment_scale(&call->segments, s);
        for (size_t part; left > 0; out += part, sums += part, left -= part) {
            part = next_part(left);
            call->kernels->dequantise(&call->dequantiser, out, sums, part);
        }
    }
}

PyDoc_STRVAR(dequantise_doc,
             "dequantise(out, sums, segment_lengths, scales, bias, *, target=None)\n--\n\n"
             "Turn sums of fields, uint32[n], into out, float32[n]: (sum - bias) * scales[s], in double.\n\n"
             "Segment s takes the next segment_lengths[s] (uint64) sums; scales is float64, each in\n"
             "[2**-200, 2**200]; 0 <= bias < 2**32. Raises BufferError for an array of the wrong type or layout;\n"
             "ValueError for a wrong size, scale, bias or target, or if out shares memory with another array.\n"
             "Nothing has been written then.");

static PyObject *dequantise(PyObject *module, PyObject *args, PyObject *kwargs) {
    struct dequantise_call call;

    if (open_dequantise(&call, module, args, kwargs) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    dequantise_segments(&call);
    Py_END_ALLOW_THREADS
    close_dequantise(&call);
    Py_RETURN_NONE;
}

PyMethodDef dcsfl_py_codec_methods[] = {
    {"quantise", (PyCFunction)(void (*)(void))quantise, METH_VARARGS | METH_KEYWORDS, quantise_doc},
    {"dequantise", (PyCFunction)(void (*)(void))dequantise, METH_VARARGS | METH_KEYWORDS, dequantise_doc},
    {NULL, NULL, 0, NULL},
};
