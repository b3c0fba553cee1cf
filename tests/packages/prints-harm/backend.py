"""Prints what acts on terminals and pages, a line of 100 MB, and fails with more of it."""

import os
import sys

HARM = (
    b"\x1b[2J\x1b[31mred \x1b]52;c;QUJD\x07 \x9b31m \xc2\x9b31m <script>alert(1)</script> \xe2\x80\xaereversed\xe2\x80\xac "
    b"\x00nul \xff\xfe no text \xe2\x80\x8bhidden \xf3\xa0\x81\x81tag \x08\x08\x08back \x0c\x0bfeeds \xe2\x80\xa8line"
)


def build_wheel(folder, config_settings=None, metadata_directory=None):
    out = os.fdopen(1, "wb", 0, closefd=False)
    out.write(b"progress 1 %\rprogress 2 %\r\n" + HARM + b"\n")
    piece = b"A" * (1 << 20)
    for _ in range(100):
        out.write(piece)
    out.write(b"\nerror: it failed " + HARM + b"\n")
    sys.exit(1)
