import os
import sys


def build_wheel(folder, config_settings=None, metadata_directory=None):
    os.mkfifo(os.path.join(sys.argv[-1], "output.json"))
    os._exit(0)
