#define Py_LIMITED_API 0x030A0000
#include <Python.h>

static PyObject *make(PyObject *self, PyObject *nothing) {
    return PyLong_FromLong(PyModule_AddObjectRef(self, "one", Py_None));
}

static PyMethodDef methods[] = {{"make", make, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sample", NULL, -1, methods};

PyMODINIT_FUNC PyInit_sample(void) { return PyModule_Create(&definition); }
