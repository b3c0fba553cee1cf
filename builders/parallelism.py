"""How build tools are told how many processors a build may use. Pure.

It is to change how fast a wheel is built, never what is in it. Ninja has no such variable: started by CMake it is told,
by itself it takes all that the machine has. Pinning a build to some processors would bound that too, but a build gets
only what others leave (see `builders.cgroup`): where the server keeps just those busy, that would be nothing.
"""

from __future__ import annotations

_NUMBERS = (
    "CMAKE_BUILD_PARALLEL_LEVEL",
    "CARGO_BUILD_JOBS",
    "RAYON_NUM_THREADS",
    "MAX_JOBS",  # extensions of PyTorch
    "NPY_NUM_BUILD_JOBS",  # numpy.distutils
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GOMAXPROCS",
    "PYTHON_CPU_COUNT",
)
"""Variables that take the number as it is."""


def parallelism(cpus: int) -> dict[str, str]:
    """Return the environment variables that have tools use so many processors."""
    return {"MAKEFLAGS": f"-j{cpus}", **dict.fromkeys(_NUMBERS, str(cpus))}
