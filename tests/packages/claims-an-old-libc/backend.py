"""Says manylinux1, but uses a function that glibc has since 2.34 under this version."""

import subprocess
import sys
import sysconfig

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = sysconfig.get_paths()["include"]
    subprocess.check_call(["gcc", "-shared", "-fPIC", "-I" + include, "sample.c", "-o", "sample" + suffix])
    with open("sample" + suffix, "rb") as file:
        binary = file.read()
    python = "cp%d%d" % sys.version_info[:2]
    tag = "%s-%s-manylinux1_x86_64" % (python, python)
    return write_wheel(folder, tag=tag, files={"sample" + suffix: binary})
