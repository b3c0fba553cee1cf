"""What gets built: every sdist of a corpus through the running server, beside plain ``pip wheel``."""
