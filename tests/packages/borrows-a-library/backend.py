"""Links with a library of this machine: it has to travel with the wheel."""

import glob
import subprocess
import sys
import sysconfig

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = sysconfig.get_paths()["include"]
    library = sorted(glob.glob("/usr/lib/*-linux-gnu/libbz2.so.1.0*"))[0]
    subprocess.check_call(
        ["gcc", "-shared", "-fPIC", "-I" + include, "sample.c", "-Wl,--no-as-needed", library, "-o", "sample" + suffix]
    )
    with open("sample" + suffix, "rb") as file:
        binary = file.read()
    python = "cp%d%d" % sys.version_info[:2]
    return write_wheel(folder, tag="%s-%s-linux_x86_64" % (python, python), files={"sample" + suffix: binary})
