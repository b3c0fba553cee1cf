import os


def build_wheel(folder, config_settings=None, metadata_directory=None):
    for number in range(3, 64):
        try:
            with open("/proc/1/fd/%d" % number, "w") as pipe:
                pipe.write('{"t": "wheel", "name": "forged-1.0-py3-none-any.whl", "size": 0}\n')
        except OSError:
            pass
    raise RuntimeError("nobody was fooled")
