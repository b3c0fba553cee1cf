"""Writes into the wheel what differs from build to build where nobody takes care: all that can be the same each time.

The archive itself differs as well: its order, times, modes and compression are of the moment.
"""

import os
import random
import socket
import subprocess
import sysconfig
import tempfile
import time
import zipfile

from wheelwright import write_wheel

SOURCE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "sample", __FILE__ " " __DATE__ " " __TIME__, -1, 0};
PyMODINIT_FUNC PyInit_sample(void) { return PyModule_Create(&module); }
"""


def compiled():
    """Compile in a temporary folder, by an absolute path, with debug information."""
    folder = tempfile.mkdtemp()
    with open(os.path.join(folder, "sample.c"), "w") as file:
        file.write(SOURCE)
    shell = subprocess.check_output(["mktemp", "-d"], text=True).strip()
    includes = sorted({sysconfig.get_path("include"), sysconfig.get_path("platinclude")})
    flags = ["-shared", "-fPIC", "-g", "-O1", *("-I" + path for path in includes)]
    found = {}
    for number, place in enumerate((folder, shell)):
        source, output = os.path.join(place, "sample.c"), os.path.join(place, "sample.so")
        with open(source, "w") as file:
            file.write(SOURCE)
        subprocess.check_call(["gcc", *flags, "-Wl,-rpath," + folder, source, "-o", output], cwd=place)
        subprocess.check_call(["gcc", *flags, "-c", source, "-o", os.path.join(place, "sample.o")], cwd=place)
        subprocess.check_call(["ar", "rc", "libsample.a", "sample.o"], cwd=place)
        for name in ("sample.so", "libsample.a"):
            with open(os.path.join(place, name), "rb") as file:
                found["sample/%d/%s" % (number, name)] = file.read()
    return found


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Make the wheel, then pack its files again in another way."""
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    facts = {
        "cwd": os.getcwd(),
        "home": os.path.expanduser("~"),
        "hash order": list({"one", "two", "three", "four", "five"}),
        "temporary": [tempfile.mkdtemp(), tempfile.NamedTemporaryFile().name, tempfile.mkdtemp(dir=".")],
        "source date": time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(epoch)),
        "zone": time.tzname,
        "host": socket.gethostname(),
        "user": os.getuid(),
        "umask": os.umask(0o22),
        "locale": os.environ["LC_ALL"],
        "environment": sorted(os.environ.items()),
    }
    files = {"sample/facts.txt": "".join("%s: %s\n" % fact for fact in facts.items()).encode(), **compiled()}
    tag = "cp%d%d-" % __import__("sys").version_info[:2]
    tag += "%s-%s" % (tag.rstrip("-"), sysconfig.get_platform().replace("-", "_"))
    name = write_wheel(wheel_directory, tag=tag, files=files)
    path = os.path.join(wheel_directory, name)
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    random.shuffle(members)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members:
            entry = zipfile.ZipInfo(member, time.localtime()[:6])
            entry.external_attr = random.choice((0o100600, 0o100664)) << 16
            entry.compress_type = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            archive.writestr(entry, content)
    return name
