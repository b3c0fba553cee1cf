"""A PEP 517 backend that travels inside the sdist and needs only the standard library (CPython or PyPy, 3.8 or newer).

``spec.json`` beside pyproject.toml says what to do: see ``tests/fakes/sdists.py``.
"""

import base64
import hashlib
import importlib
import json
import os
import subprocess
import sys
import sysconfig
import time
import zipfile


def _spec():
    with open("spec.json", encoding="utf-8") as file:
        return json.load(file)


def _act(stage):
    spec = _spec()
    for name in spec["imports"]:
        importlib.import_module(name)
    if spec["chatter"]:
        print(spec["chatter"], flush=True)
    if stage == spec["sleep_at"]:
        time.sleep(spec["sleep"])
        while spec.get("until") and not os.path.exists(spec["until"]):
            time.sleep(0.02)
    if stage == spec["fail_at"]:
        print(spec["fail"], file=sys.stderr, flush=True)
        raise SystemExit(1)


def _metadata(spec):
    lines = ["Metadata-Version: 2.1", "Name: " + spec["name"], "Version: " + spec["version"]]
    if spec["requires_python"]:
        lines.append("Requires-Python: " + spec["requires_python"])
    lines += ["Requires-Dist: " + line for line in spec["dependencies"]]
    return ("\n".join(lines) + "\n\nMade by a backend inside the sdist.\n").encode()


def _tag(spec):
    if not spec["c_source"]:
        return "py3-none-any"
    major_minor = "%d%d" % sys.version_info[:2]
    soabi = sysconfig.get_config_var("SOABI")
    if sys.implementation.name == "pypy":
        python, abi = "pp" + major_minor, "_".join(soabi.split("-")[:2])
    else:
        python, abi = "cp" + major_minor, "cp" + soabi.split("-")[1]
    return "-".join((python, abi, sysconfig.get_platform().replace("-", "_").replace(".", "_")))


def _wheel(spec):
    lines = ["Wheel-Version: 1.0", "Generator: intree (1)"]
    lines += ["Root-Is-Purelib: " + ("false" if spec["c_source"] else "true"), "Tag: " + _tag(spec)]
    return ("\n".join(lines) + "\n").encode()


def _stem(spec):
    return spec["normalized"] + "-" + spec["version"]


def _compile(spec):
    output = os.path.abspath(spec["module"] + sysconfig.get_config_var("EXT_SUFFIX"))
    includes = sorted({sysconfig.get_path("include"), sysconfig.get_path("platinclude")})
    command = ["gcc", "-shared", "-fPIC", "-O1", *("-I" + path for path in includes), spec["c_source"], "-o", output]
    print(" ".join(command), flush=True)
    subprocess.run(command, check=True)
    return output


def get_requires_for_build_wheel(config_settings=None):
    _act("requires")
    return _spec()["dynamic_requires"]


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    _act("metadata")
    spec = _spec()
    folder = _stem(spec) + ".dist-info"
    os.mkdir(os.path.join(metadata_directory, folder))
    for name, content in (("METADATA", _metadata(spec)), ("WHEEL", _wheel(spec))):
        with open(os.path.join(metadata_directory, folder, name), "wb") as file:
            file.write(content)
    return folder


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    _act("build")
    spec = _spec()
    files = {}
    for name in spec["modules"]:
        with open(name, "rb") as file:
            files[name] = file.read()
        if spec["differs"]:
            files[name] += b"BUILD = '" + os.urandom(8).hex().encode() + b"'\n"
    if spec["c_source"]:
        with open(_compile(spec), "rb") as file:
            files[os.path.basename(file.name)] = file.read()
    info = _stem(spec) + ".dist-info"
    files[info + "/METADATA"] = _metadata(spec)
    files[info + "/WHEEL"] = _wheel(spec)
    record = "".join(
        "%s,sha256=%s,%d\n"
        % (name, base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(), len(data))
        for name, data in files.items()
    )
    files[info + "/RECORD"] = (record + info + "/RECORD,,\n").encode()
    filename = _stem(spec) + "-" + _tag(spec) + ".whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return filename
