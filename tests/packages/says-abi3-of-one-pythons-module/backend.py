"""Says abi3 of a module that only one Python loads by its name."""

import subprocess
import sysconfig

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    include = sysconfig.get_paths()["include"]
    subprocess.check_call(["gcc", "-shared", "-fPIC", "-I" + include, "sample.c", "-o", "sample.so"])
    with open("sample.so", "rb") as file:
        binary = file.read()
    return write_wheel(folder, tag="cp36-abi3-linux_x86_64", files={"sample.cpython-311-x86_64-linux-gnu.so": binary})
