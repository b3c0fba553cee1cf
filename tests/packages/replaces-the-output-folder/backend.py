import os


def build_wheel(folder, config_settings=None, metadata_directory=None):
    os.rmdir(folder)
    os.symlink("/etc", folder)
    return "passwd"
