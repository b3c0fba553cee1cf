"""None of them reaches the limit of processor time by itself."""

import os
import time


def build_wheel(folder, config_settings=None, metadata_directory=None):
    while True:
        if os.fork() == 0:
            begun = time.process_time()
            while time.process_time() - begun < 0.1:
                pass
            os._exit(0)
        os.wait()
