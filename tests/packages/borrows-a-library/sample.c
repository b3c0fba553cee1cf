#include <Python.h>
#include <pthread.h>

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sample", NULL, -1, NULL};

static void *run(void *nothing) { return nothing; }

PyMODINIT_FUNC PyInit_sample(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, NULL) == 0)
        pthread_join(thread, NULL);
    return PyModule_Create(&definition);
}
