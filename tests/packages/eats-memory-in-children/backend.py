import os
import time


def build_wheel(folder, config_settings=None, metadata_directory=None):
    for _ in range(16):
        if os.fork() == 0:
            held = b"x" * (24 << 20)
            time.sleep(60)
            os._exit(len(held) % 2)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        raise SystemExit("they are all gone") from None
