"""Put beside the backends of the packages here: makes wheels, sound ones unless asked otherwise."""

import base64
import hashlib
import os
import zipfile


def write_wheel(folder, name="sample", version="1.0", tag="py3-none-any", files=None):
    """Write a wheel that holds the files and return its file name."""
    info = "%s-%s.dist-info" % (name, version)
    pure = "true" if tag.endswith("-any") else "false"
    content = dict(files or {name + ".py": b"VALUE = 1\n"})
    content[info + "/METADATA"] = ("Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)).encode()
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
