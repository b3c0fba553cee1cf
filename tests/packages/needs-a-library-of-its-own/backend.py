"""Links with a library that it makes and then does not ship."""

import subprocess
import sys
import sysconfig

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = sysconfig.get_paths()["include"]
    subprocess.check_call(["gcc", "-shared", "-fPIC", "private.c", "-o", "libprivate.so"])
    subprocess.check_call(
        ["gcc", "-shared", "-fPIC", "-I" + include, "sample.c", "-L.", "-lprivate", "-o", "sample" + suffix]
    )
    with open("sample" + suffix, "rb") as file:
        binary = file.read()
    python = "cp%d%d" % sys.version_info[:2]
    return write_wheel(folder, tag="%s-%s-linux_x86_64" % (python, python), files={"sample" + suffix: binary})
