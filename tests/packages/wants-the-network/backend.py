import os
import socket


def build_wheel(folder, config_settings=None, metadata_directory=None):
    if os.path.exists("silently"):
        try:
            socket.getaddrinfo("example.org", 443)
        except OSError:
            raise SystemExit("the weather is bad") from None
    raise SystemExit("the weather is bad")
