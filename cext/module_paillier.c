/* Paillier for Python: bigint/paillier.h behind functions on arrays of rows. */
#include "module.h"

#include "bigint/limbs.h"
#include "bigint/paillier.h"

/* --- arguments ---------------------------------------------------------------------------------------------------- */

#define MAX_ARRAYS 9

/* What a call has open: released all at once, whatever was refused. */
struct call {
    const struct dcsfl_bigint_kernels *kernels;
    size_t modulus_bits;
    size_t count;
    Py_buffer views[MAX_ARRAYS];
    int view_count;
};

static void close_call(struct call *call) {
    while (call->view_count > 0)
        PyBuffer_Release(&call->views[--call->view_count]);
}

/* The array, open until close_call; NULL with an exception set if it is not as dcsfl_py_open_array wants it. */
static Py_buffer *open_array(struct call *call, PyObject *object, const char *name, enum dcsfl_py_item item, int ndim,
                             int writable) {
    Py_buffer *view = &call->views[call->view_count];

    if (dcsfl_py_open_array(view, object, name, item, ndim, writable) < 0)
        return NULL;
    call->view_count++;
    return view;
}

static int choose_kernels(struct call *call, PyObject *module, const char *target_name) {
    const struct dcsfl_target *target = dcsfl_py_target(module, target_name);

    if (target == NULL)
        return -1;
    call->kernels = target->bigint;
    return 0;
}

/* ValueError unless Paillier moduli of that size are supported; sets call->modulus_bits. */
static int set_modulus_bits(struct call *call, Py_ssize_t modulus_bits) {
    if (modulus_bits < 2048 || modulus_bits > 8192 || modulus_bits % 256 != 0) {
        PyErr_Format(PyExc_ValueError, "modulus_bits=%zd is no multiple of 256 in [2048, 8192]", modulus_bits);
        return -1;
    }
    call->modulus_bits = (size_t)modulus_bits;
    return 0;
}

/* Rows uint8[call->count, bytes]; NULL with an exception set otherwise. */
static Py_buffer *open_rows(struct call *call, PyObject *object, const char *name, size_t bytes, int writable) {
    Py_buffer *view = open_array(call, object, name, ITEM_UINT8, 2, writable);

    if (view == NULL)
        return NULL;
    if ((size_t)view->shape[0] == call->count && (size_t)view->shape[1] == bytes)
        return view;
    PyErr_Format(PyExc_ValueError, "%s has shape (%zd, %zd), expected (%zu, %zu)", name, view->shape[0],
                 view->shape[1], call->count, bytes);
    return NULL;
}

/* The rows that give the call its count and, at `rows_per_bit` bytes of a row per bit of n, its modulus. */
static Py_buffer *open_first_rows(struct call *call, PyObject *object, const char *name, Py_ssize_t bits_a_byte) {
    Py_buffer *view = open_array(call, object, name, ITEM_UINT8, 2, 0);

    if (view == NULL || view->shape[1] > PY_SSIZE_T_MAX / bits_a_byte ||
        set_modulus_bits(call, view->shape[1] * bits_a_byte) < 0) {
        if (view != NULL && !PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "%s has rows of %zd bytes", name, view->shape[1]);
        return NULL;
    }
    call->count = (size_t)view->shape[0];
    return view;
}

/* Constants uint64[words]; NULL with an exception set otherwise. */
static const uint64_t *open_constants(struct call *call, PyObject *object, const char *name, size_t words) {
    const Py_buffer *view = open_array(call, object, name, ITEM_UINT64, 1, 0);

    if (view == NULL)
        return NULL;
    if ((size_t)view->shape[0] == words)
        return (const uint64_t *)view->buf;
    PyErr_Format(PyExc_ValueError, "%s has %zd words, expected %zu", name, view->shape[0], words);
    return NULL;
}

static int check_window_bits(Py_ssize_t window_bits) {
    if (window_bits >= DCSFL_MIN_WINDOW_BITS && window_bits <= DCSFL_MAX_WINDOW_BITS)
        return 0;
    PyErr_Format(PyExc_ValueError, "window_bits=%zd is outside [%d, %d]", window_bits, DCSFL_MIN_WINDOW_BITS,
                 DCSFL_MAX_WINDOW_BITS);
    return -1;
}

/* A table uint8[digits, row bytes] for exponents of modulus_bits / 2 bits; NULL with an exception set otherwise. */
static Py_buffer *open_table(struct call *call, PyObject *object, const char *name, size_t limbs,
                             Py_ssize_t window_bits, int writable) {
    const size_t digits = dcsfl_fixed_base_digits(call->modulus_bits / 2, (unsigned)window_bits);
    const size_t row_bytes = dcsfl_fixed_base_row_bytes(call->kernels, limbs, (unsigned)window_bits);
    Py_buffer *view = open_array(call, object, name, ITEM_UINT8, 2, writable);

    if (view == NULL)
        return NULL;
    if ((size_t)view->shape[0] != digits || (size_t)view->shape[1] != row_bytes)
        PyErr_Format(PyExc_ValueError, "%s has shape (%zd, %zd), expected (%zu, %zu)", name, view->shape[0],
                     view->shape[1], digits, row_bytes);
    else if ((uintptr_t)view->buf % DCSFL_BIGINT_ALIGNMENT != 0)
        PyErr_Format(PyExc_ValueError, "%s is not aligned to %d bytes", name, DCSFL_BIGINT_ALIGNMENT);
    else
        return view;
    return NULL;
}

static int open_fixed_base(struct call *call, struct dcsfl_fixed_base *table, PyObject *object, const char *name,
                           size_t limbs, Py_ssize_t window_bits) {
    const Py_buffer *view = open_table(call, object, name, limbs, window_bits, 0);

    if (view == NULL)
        return -1;
    table->digits = (size_t)view->shape[0];
    table->window_bits = (unsigned)window_bits;
    table->rows = (const uint8_t *)view->buf;
    return 0;
}

/* --- keys: constants one after the other, as he_core/_native.pyi lists them ---------------------------------------- */

static const uint64_t *take_modulus(struct dcsfl_modulus *modulus, const uint64_t *constants, size_t limbs) {
    modulus->limbs = limbs;
    modulus->n = constants;
    modulus->lift = modulus->n + limbs;
    modulus->negative = modulus->lift + limbs;
    modulus->inverse = modulus->negative + limbs;
    return modulus->inverse + limbs;
}

static int open_public(struct call *call, struct dcsfl_paillier_public *key, PyObject *object) {
    const size_t limbs = dcsfl_paillier_limbs(call->kernels, call->modulus_bits);
    const uint64_t *constants = open_constants(call, object, "public", 10 * limbs);

    if (constants == NULL)
        return -1;
    key->powers = take_modulus(&key->modulus, constants, limbs);
    return 0;
}

static int open_prime(struct call *call, struct dcsfl_paillier_prime *prime, PyObject *object, const char *name) {
    const size_t limbs = dcsfl_paillier_prime_limbs(call->kernels, call->modulus_bits);
    const uint64_t *constants = open_constants(call, object, name, 20 * limbs);

    if (constants == NULL)
        return -1;
    prime->powers = take_modulus(&prime->modulus, constants, limbs);
    prime->message = prime->powers + 10 * limbs;
    prime->scale = prime->message + 4 * limbs;
    return 0;
}

static int open_secret(struct call *call, struct dcsfl_paillier_secret *key, PyObject *p, PyObject *q,
                       PyObject *joint) {
    const size_t limbs = dcsfl_paillier_prime_limbs(call->kernels, call->modulus_bits);
    const uint64_t *constants;

    if (open_prime(call, &key->p, p, "p") < 0 || open_prime(call, &key->q, q, "q") < 0)
        return -1;
    constants = open_constants(call, joint, "joint", 10 * limbs);
    if (constants == NULL)
        return -1;
    key->joint.decrypt = constants;
    key->joint.encrypt_q = constants + 2 * limbs;
    key->joint.encrypt_p = constants + 4 * limbs;
    key->joint.p_squared = constants + 8 * limbs;
    return 0;
}

/* --- workspace ---------------------------------------------------------------------------------------------------- */

struct workspace {
    void *block;
    uint64_t *words; /* aligned */
    size_t bytes;
};

/* MemoryError if there is none. */
static int open_workspace(struct workspace *workspace, const struct call *call) {
    workspace->bytes = dcsfl_paillier_workspace_words(call->kernels, call->modulus_bits) * sizeof(uint64_t);
    workspace->block = PyMem_RawMalloc(workspace->bytes + DCSFL_BIGINT_ALIGNMENT);
    if (workspace->block == NULL) {
        (void)PyErr_NoMemory();
        return -1;
    }
    workspace->words = (uint64_t *)(void *)(((uintptr_t)workspace->block + DCSFL_BIGINT_ALIGNMENT - 1) /
                                            DCSFL_BIGINT_ALIGNMENT * DCSFL_BIGINT_ALIGNMENT);
    return 0;
}

static void close_workspace(struct workspace *workspace) {
    dcsfl_wipe(workspace->words, workspace->bytes);
    PyMem_RawFree(workspace->block);
}

/* Release everything; None, or NULL if an exception is set. */
static PyObject *finish(struct call *call) {
    close_call(call);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* --- functions ---------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(paillier_shape_doc,
             "paillier_shape(modulus_bits, *, target=None)\n--\n\n"
             "(limb_bits, limbs of n, limbs of p and of q, bytes of a limb in a table,\n"
             "table entries read in the time of a product): how numbers are passed to the functions below.");

static PyObject *paillier_shape(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"modulus_bits", "target", NULL};
    struct call call = {0};
    Py_ssize_t modulus_bits;
    const char *target_name = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n|$z:paillier_shape", names, &modulus_bits, &target_name) ||
        choose_kernels(&call, module, target_name) < 0 || set_modulus_bits(&call, modulus_bits) < 0)
        return NULL;
    return Py_BuildValue("(InnII)", call.kernels->limb_bits,
                         (Py_ssize_t)dcsfl_paillier_limbs(call.kernels, call.modulus_bits),
                         (Py_ssize_t)dcsfl_paillier_prime_limbs(call.kernels, call.modulus_bits),
                         call.kernels->entry_bytes, call.kernels->entries_a_product);
}

PyDoc_STRVAR(paillier_table_doc,
             "paillier_table(out, constants, base, modulus_bits, window_bits, *, target=None)\n--\n\n"
             "Fill out, uint8[digits, row bytes] aligned to 64 bytes, with the powers of a base.");

static PyObject *paillier_table(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "constants", "base", "modulus_bits", "window_bits", "target", NULL};
    struct call call = {0};
    struct workspace workspace;
    struct dcsfl_modulus modulus;
    struct dcsfl_base base;
    PyObject *out_object, *constants_object, *base_object;
    Py_ssize_t modulus_bits, window_bits;
    const char *target_name = NULL;
    const uint64_t *constants;
    const Py_buffer *view, *out;
    size_t limbs;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOnn|$z:paillier_table", names, &out_object, &constants_object,
                                     &base_object, &modulus_bits, &window_bits, &target_name) ||
        choose_kernels(&call, module, target_name) < 0 || set_modulus_bits(&call, modulus_bits) < 0 ||
        check_window_bits(window_bits) < 0)
        return NULL;
    /* The base tells whether the modulus is n or a prime. */
    view = open_array(&call, base_object, "base", ITEM_UINT64, 1, 0);
    if (view == NULL)
        return finish(&call);
    limbs = dcsfl_paillier_limbs(call.kernels, call.modulus_bits);
    if ((size_t)view->shape[0] != 3 * limbs)
        limbs = dcsfl_paillier_prime_limbs(call.kernels, call.modulus_bits);
    base.base = open_constants(&call, base_object, "base", 3 * limbs);
    constants = base.base == NULL ? NULL : open_constants(&call, constants_object, "constants", 6 * limbs + 2);
    out = constants == NULL ? NULL : open_table(&call, out_object, "out", limbs, window_bits, 1);
    if (out == NULL || dcsfl_py_check_apart(out, view, "base") < 0 || open_workspace(&workspace, &call) < 0)
        return finish(&call);
    base.inverse = base.base + 2 * limbs;
    base.one = take_modulus(&modulus, constants, limbs);
    base.shift = base.one + limbs;
    Py_BEGIN_ALLOW_THREADS
    dcsfl_fixed_base_build(call.kernels, &modulus, workspace.words, (uint8_t *)out->buf, (size_t)out->shape[0],
                           (unsigned)window_bits, &base);
    close_workspace(&workspace);
    Py_END_ALLOW_THREADS
    return finish(&call);
}

PyDoc_STRVAR(paillier_encrypt_doc,
             "paillier_encrypt(out, words, randomisers, public, table, window_bits, *, target=None)\n--\n\n"
             "Encrypt words, uint8[n, modulus_bits / 8], into out, uint8[n, modulus_bits / 4].");

static PyObject *paillier_encrypt(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "words", "randomisers", "public", "table", "window_bits", "target", NULL};
    struct call call = {0};
    struct workspace workspace;
    struct dcsfl_paillier_public key;
    struct dcsfl_fixed_base table;
    PyObject *out_object, *words_object, *randomisers_object, *public_object, *table_object;
    Py_ssize_t window_bits;
    const char *target_name = NULL;
    const Py_buffer *words, *randomisers, *out;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOn|$z:paillier_encrypt", names, &out_object, &words_object,
                                     &randomisers_object, &public_object, &table_object, &window_bits,
                                     &target_name) ||
        choose_kernels(&call, module, target_name) < 0 || check_window_bits(window_bits) < 0)
        return NULL;
    words = open_first_rows(&call, words_object, "words", 8);
    if (words == NULL)
        return finish(&call);
    randomisers = open_rows(&call, randomisers_object, "randomisers", call.modulus_bits / 16, 0);
    out = randomisers == NULL ? NULL : open_rows(&call, out_object, "out", call.modulus_bits / 4, 1);
    if (out == NULL || open_public(&call, &key, public_object) < 0 ||
        open_fixed_base(&call, &table, table_object, "table", key.modulus.limbs, window_bits) < 0 ||
        dcsfl_py_check_apart(out, words, "words") < 0 || dcsfl_py_check_apart(out, randomisers, "randomisers") < 0 ||
        open_workspace(&workspace, &call) < 0)
        return finish(&call);
    Py_BEGIN_ALLOW_THREADS
    dcsfl_paillier_encrypt(call.kernels, &key, &table, call.modulus_bits, workspace.words, (uint8_t *)out->buf,
                           (const uint8_t *)words->buf, (const uint8_t *)randomisers->buf, call.count);
    close_workspace(&workspace);
    Py_END_ALLOW_THREADS
    return finish(&call);
}

PyDoc_STRVAR(paillier_encrypt_with_factors_doc,
             "paillier_encrypt_with_factors(out, words, randomisers, p, q, joint, p_table, q_table, window_bits, *,\n"
             "                              target=None)\n--\n\n"
             "As paillier_encrypt, mod p**2 and q**2.");

static PyObject *paillier_encrypt_with_factors(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out",   "words",   "randomisers", "p",           "q",
                            "joint", "p_table", "q_table",     "window_bits", "target", NULL};
    struct call call = {0};
    struct workspace workspace;
    struct dcsfl_paillier_secret key;
    struct dcsfl_fixed_base p_table, q_table;
    PyObject *out_object, *words_object, *randomisers_object, *p, *q, *joint, *p_table_object, *q_table_object;
    Py_ssize_t window_bits;
    const char *target_name = NULL;
    const Py_buffer *words, *randomisers, *out;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOOOn|$z:paillier_encrypt_with_factors", names, &out_object,
                                     &words_object, &randomisers_object, &p, &q, &joint, &p_table_object,
                                     &q_table_object, &window_bits, &target_name) ||
        choose_kernels(&call, module, target_name) < 0 || check_window_bits(window_bits) < 0)
        return NULL;
    words = open_first_rows(&call, words_object, "words", 8);
    if (words == NULL)
        return finish(&call);
    randomisers = open_rows(&call, randomisers_object, "randomisers", call.modulus_bits / 16, 0);
    out = randomisers == NULL ? NULL : open_rows(&call, out_object, "out", call.modulus_bits / 4, 1);
    if (out == NULL || open_secret(&call, &key, p, q, joint) < 0 ||
        open_fixed_base(&call, &p_table, p_table_object, "p_table", key.p.modulus.limbs, window_bits) < 0 ||
        open_fixed_base(&call, &q_table, q_table_object, "q_table", key.q.modulus.limbs, window_bits) < 0 ||
        dcsfl_py_check_apart(out, words, "words") < 0 || dcsfl_py_check_apart(out, randomisers, "randomisers") < 0 ||
        open_workspace(&workspace, &call) < 0)
        return finish(&call);
    Py_BEGIN_ALLOW_THREADS
    dcsfl_paillier_encrypt_with_factors(call.kernels, &key, &p_table, &q_table, call.modulus_bits, workspace.words,
                                        (uint8_t *)out->buf, (const uint8_t *)words->buf,
                                        (const uint8_t *)randomisers->buf, call.count);
    close_workspace(&workspace);
    Py_END_ALLOW_THREADS
    return finish(&call);
}

PyDoc_STRVAR(paillier_add_doc,
             "paillier_add(out, left, right, public, *, target=None)\n--\n\n"
             "Row by row products mod n**2; all three uint8[n, modulus_bits / 4].");

static PyObject *paillier_add(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "left", "right", "public", "target", NULL};
    struct call call = {0};
    struct workspace workspace;
    struct dcsfl_paillier_public key;
    PyObject *out_object, *left_object, *right_object, *public_object;
    const char *target_name = NULL;
    const Py_buffer *left, *right, *out;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO|$z:paillier_add", names, &out_object, &left_object,
                                     &right_object, &public_object, &target_name) ||
        choose_kernels(&call, module, target_name) < 0)
        return NULL;
    left = open_first_rows(&call, left_object, "left", 4);
    if (left == NULL)
        return finish(&call);
    right = open_rows(&call, right_object, "right", call.modulus_bits / 4, 0);
    out = right == NULL ? NULL : open_rows(&call, out_object, "out", call.modulus_bits / 4, 1);
    if (out == NULL || open_public(&call, &key, public_object) < 0 || dcsfl_py_check_apart(out, left, "left") < 0 ||
        dcsfl_py_check_apart(out, right, "right") < 0 || open_workspace(&workspace, &call) < 0)
        return finish(&call);
    Py_BEGIN_ALLOW_THREADS
    dcsfl_paillier_add(call.kernels, &key, call.modulus_bits, workspace.words, (uint8_t *)out->buf,
                       (const uint8_t *)left->buf, (const uint8_t *)right->buf, call.count);
    close_workspace(&workspace);
    Py_END_ALLOW_THREADS
    return finish(&call);
}

PyDoc_STRVAR(paillier_decrypt_doc,
             "paillier_decrypt(out, ciphertexts, p, q, joint, *, target=None)\n--\n\n"
             "Decrypt ciphertexts, uint8[n, modulus_bits / 4], into out, uint8[n, modulus_bits / 8].");

static PyObject *paillier_decrypt(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "ciphertexts", "p", "q", "joint", "target", NULL};
    struct call call = {0};
    struct workspace workspace;
    struct dcsfl_paillier_secret key;
    PyObject *out_object, *ciphertexts_object, *p, *q, *joint;
    const char *target_name = NULL;
    const Py_buffer *ciphertexts, *out;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO|$z:paillier_decrypt", names, &out_object,
                                     &ciphertexts_object, &p, &q, &joint, &target_name) ||
        choose_kernels(&call, module, target_name) < 0)
        return NULL;
    ciphertexts = open_first_rows(&call, ciphertexts_object, "ciphertexts", 4);
    if (ciphertexts == NULL)
        return finish(&call);
    out = open_rows(&call, out_object, "out", call.modulus_bits / 8, 1);
    if (out == NULL || open_secret(&call, &key, p, q, joint) < 0 ||
        dcsfl_py_check_apart(out, ciphertexts, "ciphertexts") < 0 || open_workspace(&workspace, &call) < 0)
        return finish(&call);
    Py_BEGIN_ALLOW_THREADS
    dcsfl_paillier_decrypt(call.kernels, &key, call.modulus_bits, workspace.words, (uint8_t *)out->buf,
                           (const uint8_t *)ciphertexts->buf, call.count);
    close_workspace(&workspace);
    Py_END_ALLOW_THREADS
    return finish(&call);
}

PyDoc_STRVAR(paillier_first_outside_doc,
             "paillier_first_outside(ciphertexts, bound)\n--\n\n"
             "Index of the first row outside [1, bound), None if there is none.");

static PyObject *paillier_first_outside(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs) {
    static char *names[] = {"ciphertexts", "bound", NULL};
    struct call call = {0};
    PyObject *ciphertexts_object, *bound_object;
    const Py_buffer *ciphertexts, *bound;
    size_t index;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:paillier_first_outside", names, &ciphertexts_object,
                                     &bound_object))
        return NULL;
    ciphertexts = open_array(&call, ciphertexts_object, "ciphertexts", ITEM_UINT8, 2, 0);
    bound = ciphertexts == NULL ? NULL : open_array(&call, bound_object, "bound", ITEM_UINT8, 1, 0);
    if (bound == NULL)
        return finish(&call);
    if (bound->shape[0] != ciphertexts->shape[1]) {
        PyErr_Format(PyExc_ValueError, "bound has %zd bytes, expected %zd", bound->shape[0], ciphertexts->shape[1]);
        return finish(&call);
    }
    call.count = (size_t)ciphertexts->shape[0];
    Py_BEGIN_ALLOW_THREADS
    index = dcsfl_paillier_check_var((const uint8_t *)ciphertexts->buf, call.count, (const uint8_t *)bound->buf,
                                     (size_t)bound->shape[0]);
    Py_END_ALLOW_THREADS
    close_call(&call);
    if (index == call.count)
        Py_RETURN_NONE;
    return PyLong_FromSize_t(index);
}

#define FUNCTION(name) {#name, (PyCFunction)(void (*)(void))name, METH_VARARGS | METH_KEYWORDS, name##_doc}

PyMethodDef dcsfl_py_paillier_methods[] = {
    FUNCTION(paillier_shape),
    FUNCTION(paillier_table),
    FUNCTION(paillier_encrypt),
    FUNCTION(paillier_encrypt_with_factors),
    FUNCTION(paillier_add),
    FUNCTION(paillier_decrypt),
    FUNCTION(paillier_first_outside),
    {NULL, NULL, 0, NULL},
};
