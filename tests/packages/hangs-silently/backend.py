import time


def build_wheel(folder, config_settings=None, metadata_directory=None):
    time.sleep(600)
