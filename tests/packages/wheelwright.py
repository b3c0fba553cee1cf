"""Put beside the backends of the packages here: makes wheels, sound ones unless asked otherwise."""

import base64
import hashlib
import os
import zipfile


def build_wheel(folder, config_settings=None, metadata_directory=None):
    """Be the backend itself: what lies below the folder ``wheel`` becomes the wheel, with its ``requires.txt``."""
    files, requires = {}, ()
    for parent, _, names in sorted(os.walk("wheel")):
        for name in sorted(names):
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                files[os.path.relpath(path, "wheel")] = file.read()
    if os.path.exists("requires.txt"):
        with open("requires.txt") as file:
            requires = file.read().split("\n")
    return write_wheel(folder, files=files, requires=[line for line in requires if line])


def write_wheel(folder, name="sample", version="1.0", tag="py3-none-any", files=None, requires=()):
    """Write a wheel that holds the files and return its file name."""
    info = "%s-%s.dist-info" % (name, version)
    pure = "true" if tag.endswith("-any") else "false"
    content = dict(files or {name + ".py": b"VALUE = 1\n"})
    metadata = "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)
    metadata += "".join("Requires-Dist: %s\n" % each for each in requires)
    content[info + "/METADATA"] = metadata.encode()
    content[info + "/WHEEL"] = ("Wheel-Version: 1.0\nRoot-Is-Purelib: %s\nTag: %s\n" % (pure, tag)).encode()
    record = ""
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += "%s,sha256=%s,%d\n" % (path, digest, len(data))
    content[info + "/RECORD"] = (record + info + "/RECORD,,\n").encode()
    filename = "%s-%s-%s.whl" % (name, version, tag)
    with zipfile.ZipFile(os.path.join(folder, filename), "w") as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data)
    return filename
