import subprocess

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    told = [["-march=native"], ["-mtune=native", "-DSAID='a b'"], []]
    macros = [subprocess.check_output(["cc", *flags, "-dM", "-E", "-x", "c", "/dev/null"]) for flags in told]
    return write_wheel(folder, files={f"sample-{number}.txt": each for number, each in enumerate(macros)})
