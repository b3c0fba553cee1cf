import os
import signal


def build_wheel(folder, config_settings=None, metadata_directory=None):
    if os.fork() != 0:
        os.wait()
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        pass
