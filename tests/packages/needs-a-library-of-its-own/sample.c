#include <Python.h>

int hidden(void);

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sample", NULL, -1, NULL};

PyMODINIT_FUNC PyInit_sample(void) { return hidden() == 42 ? PyModule_Create(&definition) : NULL; }
