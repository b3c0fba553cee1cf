from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    files = {"sample.py": b"VALUE = 1\n", "libsample.a": b"!<arch>\n"}
    return write_wheel(folder, tag="py3-none-linux_x86_64", files=files)
