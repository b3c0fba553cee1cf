#include <pybind11/pybind11.h>

PYBIND11_MODULE(sample, module) { module.def("answer", [] { return 42; }); }
