"""Run in a container: the error numbers of some system calls, as one JSON object."""

from __future__ import annotations

import ctypes
import json
import platform
import socket

NUMBERS = {"x86_64": {"keyctl": 250, "clone3": 435}, "aarch64": {"keyctl": 219, "clone3": 435}}


def call(number: int, *arguments: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) for one in arguments))
    return ctypes.get_errno() if result == -1 else 0


def opened(family: int) -> int:
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except OSError as error:
        return error.errno or -1
    return 0


if __name__ == "__main__":
    numbers = NUMBERS[platform.machine()]
    told = {name: call(number, 0, 0) for name, number in numbers.items()}
    told |= {"socket(AF_VSOCK)": opened(40), "socket(AF_INET)": opened(2)}
    print(json.dumps(told))  # noqa: T201 # the outcome
