"""Daemons of both kinds, that keep the log's pipe open and ignore whatever can be ignored."""

import os
import signal
import time

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            if os.fork() == 0:
                os.setsid()
                while True:
                    time.sleep(0.01)
                    os.write(1, b"still here\n")
            os._exit(0)
    return write_wheel(folder)
