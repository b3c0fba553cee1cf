"""Puts into the output folder what how.json says, and returns what it says."""

import json
import os
import shutil
import stat

HOW = json.load(open("how.json"))


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = HOW.get("name", "sample-1.0-py3-none-any.whl")
    path = os.path.join(folder, name)
    how = HOW["how"]
    if how == "bytes":
        shutil.copyfile("wheel.bin", path)
    elif how == "sparse":
        with open(path, "wb") as file:
            file.truncate(HOW["size"])
    elif how == "link":
        shutil.copyfile("wheel.bin", "/tmp/wheel")
        os.symlink(HOW.get("target", "/tmp/wheel"), path)
    elif how == "hard link":
        shutil.copyfile("wheel.bin", "/build/elsewhere")
        os.link("/build/elsewhere", path)
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        os.mkdir(path)
    elif how == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif how == "two":
        shutil.copyfile("wheel.bin", path)
        shutil.copyfile("wheel.bin", path.replace("py3", "py2"))
    elif how == "many":
        for number in range(20000):
            open(os.path.join(folder, "%d.whl" % number), "w").close()
    elif how == "replaced":
        os.rmdir(folder)
        os.symlink("/etc", folder)
    elif how == "replaced by a file":
        os.rmdir(folder)
        shutil.copyfile("wheel.bin", folder)
    elif how == "removed":
        os.rmdir(folder)
    elif how == "unreadable":
        shutil.copyfile("wheel.bin", path)
        os.chmod(path, 0)
    elif how == "closed":
        shutil.copyfile("wheel.bin", path)
        os.chmod(folder, 0)
    return HOW.get("returned", name)
