import time


def build_wheel(folder, config_settings=None, metadata_directory=None):
    while True:
        print("still compiling", flush=True)
        time.sleep(0.1)
