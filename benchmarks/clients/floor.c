/* An event stream decoder in C, to the letter of WHATWG 9.2.5 and 9.2.6, that makes the same objects as the one in
 * Python: how far that is from what a compiled parser could do. It is no part of the package: bounds are missing.
 *
 *     unbroken_floor.Decoder(DecodedEvent).feed(chunk) -> list of DecodedEvent
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <string.h>

typedef struct {
    char *bytes;
    Py_ssize_t length, room;
} Buffer;

typedef struct {
    PyObject_HEAD
    PyTypeObject *kind;
    Py_ssize_t event_at, data_at, id_at; /* where the slots of an event are */
    PyObject *message, *type, *id;       /* type: NULL while the block has none */
    Buffer line, data;
    int after_cr, at_start, has_data;
} Decoder;

static int put(Buffer *buffer, const char *bytes, Py_ssize_t length) {
    if (buffer->length + length > buffer->room) {
        Py_ssize_t room = (buffer->length + length) * 2;
        char *grown = PyMem_Realloc(buffer->bytes, room);
        if (!grown) { PyErr_NoMemory(); return -1; }
        buffer->bytes = grown;
        buffer->room = room;
    }
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    return 0;
}

static PyObject *text(const char *bytes, Py_ssize_t length) { return PyUnicode_DecodeUTF8(bytes, length, "replace"); }

static int replace(PyObject **place, PyObject *value) {
    if (!value) return -1;
    Py_XSETREF(*place, value);
    return 0;
}

static void set_slot(PyObject *event, Py_ssize_t at, PyObject *value) { *(PyObject **)((char *)event + at) = value; }

static int dispatch(Decoder *self, PyObject *events) {
    if (self->has_data) {
        PyObject *data = text(self->data.bytes, self->data.length);
        PyObject *event = data ? self->kind->tp_alloc(self->kind, 0) : NULL;
        if (!event) { Py_XDECREF(data); return -1; }
        int typed = self->type && PyUnicode_GET_LENGTH(self->type);
        set_slot(event, self->event_at, Py_NewRef(typed ? self->type : self->message));
        set_slot(event, self->data_at, data);
        set_slot(event, self->id_at, Py_NewRef(self->id));
        int failed = PyList_Append(events, event);
        Py_DECREF(event);
        if (failed) return -1;
    }
    self->has_data = 0;
    self->data.length = 0;
    Py_CLEAR(self->type);
    return 0;
}

static int field(Decoder *self, const char *line, Py_ssize_t length) {
    const char *colon = memchr(line, ':', length);
    Py_ssize_t name = colon ? colon - line : length;
    const char *value = colon ? colon + 1 : line + length;
    if (value < line + length && *value == ' ') value++;
    Py_ssize_t size = line + length - value;
    if (name == 4 && !memcmp(line, "data", 4)) {
        if (self->has_data && put(&self->data, "\n", 1)) return -1;
        self->has_data = 1;
        return put(&self->data, value, size);
    }
    if (name == 5 && !memcmp(line, "event", 5)) return replace(&self->type, text(value, size));
    if (name == 2 && !memcmp(line, "id", 2) && !memchr(value, 0, size)) return replace(&self->id, text(value, size));
    return 0;
}

static int complete(Decoder *self, const char *line, Py_ssize_t length, PyObject *events) {
    if (self->at_start) {
        self->at_start = 0;
        if (length >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) { line += 3; length -= 3; }
    }
    return length ? field(self, line, length) : dispatch(self, events);
}

static const char *line_end(const char *at, const char *end, int has_cr) {
    const char *lf = memchr(at, '\n', end - at);
    const char *cr = has_cr ? memchr(at, '\r', (lf ? lf : end) - at) : NULL;
    return cr ? cr : lf;
}

static int read_chunk(Decoder *self, const char *at, Py_ssize_t length, PyObject *events) {
    const char *end = at + length, *stop;
    int has_cr = memchr(at, '\r', length) != NULL;
    if (length && self->after_cr) {
        at += *at == '\n';
        self->after_cr = 0;
    }
    while ((stop = line_end(at, end, has_cr))) {
        if (self->line.length) {
            if (put(&self->line, at, stop - at)) return -1;
            Py_ssize_t whole = self->line.length;
            self->line.length = 0;
            if (complete(self, self->line.bytes, whole, events)) return -1;
        } else if (complete(self, at, stop - at, events)) {
            return -1;
        }
        at = stop + 1;
        if (*stop == '\r') {
            if (at == end) self->after_cr = 1;
            else at += *at == '\n';
        }
    }
    return at < end ? put(&self->line, at, end - at) : 0;
}

static PyObject *feed(Decoder *self, PyObject *chunk) {
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(chunk, &bytes, &length)) return NULL;
    PyObject *events = PyList_New(0);
    if (events && read_chunk(self, bytes, length, events)) Py_CLEAR(events);
    return events;
}

static Py_ssize_t slot(PyTypeObject *kind, const char *name) {
    PyObject *member = PyObject_GetAttrString((PyObject *)kind, name);
    if (!member) return -1;
    Py_ssize_t at = ((PyMemberDescrObject *)member)->d_member->offset;
    Py_DECREF(member);
    return at;
}

static int start(Decoder *self, PyObject *arguments, PyObject *keywords) {
    PyTypeObject *kind;
    if (!PyArg_ParseTuple(arguments, "O!", &PyType_Type, &kind)) return -1;
    self->kind = (PyTypeObject *)Py_NewRef(kind);
    self->at_start = 1;
    self->event_at = slot(kind, "event");
    self->data_at = slot(kind, "data");
    self->id_at = slot(kind, "last_event_id");
    self->message = PyUnicode_InternFromString("message");
    self->id = PyUnicode_FromString("");
    return self->event_at < 0 || self->data_at < 0 || self->id_at < 0 || !self->message || !self->id ? -1 : 0;
}

static void end(Decoder *self) {
    PyMem_Free(self->line.bytes);
    PyMem_Free(self->data.bytes);
    Py_XDECREF(self->kind);
    Py_XDECREF(self->message);
    Py_XDECREF(self->type);
    Py_XDECREF(self->id);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef methods[] = {{"feed", (PyCFunction)feed, METH_O, NULL}, {NULL, NULL, 0, NULL}};

static PyTypeObject decoder = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "unbroken_floor.Decoder",
    .tp_basicsize = sizeof(Decoder),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)start,
    .tp_dealloc = (destructor)end,
    .tp_methods = methods,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "unbroken_floor", .m_size = -1};

PyMODINIT_FUNC PyInit_unbroken_floor(void) {
    PyObject *made = PyType_Ready(&decoder) ? NULL : PyModule_Create(&module);
    if (made && PyModule_AddObjectRef(made, "Decoder", (PyObject *)&decoder)) Py_CLEAR(made);
    return made;
}
