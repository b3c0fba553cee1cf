"""Compiles as a package of some size does, a program for each file, and makes a wheel without what it compiled."""

import subprocess

from wheelwright import write_wheel

FILES = 8
FUNCTIONS = 420


def build_wheel(folder, config_settings=None, metadata_directory=None):
    for number in range(FILES):
        with open("part%d.c" % number, "w") as file:
            for each in range(FUNCTIONS):
                file.write(
                    "int f%d(int n, int *a) { int s = %d; for (int i = 0; i < n; i++) s += a[i] * (s ^ %d);"
                    " return s; }\n" % (each, each, each)
                )
        subprocess.run(["gcc", "-O1", "-c", "part%d.c" % number], check=True)
    return write_wheel(folder)
