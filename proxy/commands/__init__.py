"""The commands: one module each, with ``SUMMARY``, ``add_arguments(parser)`` and ``run(arguments) -> exit code``."""
