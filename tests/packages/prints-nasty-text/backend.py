"""What acts on terminals and pages, and one line of 100 MB."""

import os

from wheelwright import write_wheel

NASTY = (
    b"\x1b[2J\x1b]52;c;Y2FuYXJ5\x07", b"\x1b]0;title\x07", "\u202eabc\u2066def\u200b".encode(), b"\x00\x08\x7f\x9b31m",
    b"<script>alert(1)</script>", b"\xff\xfe\x80not utf-8", b"over\rwritten", "\u2028line\x85line\x0bline".encode(),
)  # fmt: skip


def build_wheel(folder, config_settings=None, metadata_directory=None):
    for text in NASTY:
        os.write(1, text + b"\n")
    for _ in range(100):
        os.write(1, b"x" * 1000000)
    os.write(1, b"\nthe end of it\n")
    return write_wheel(folder)
