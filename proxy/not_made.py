"""Why a root file system was not made, as a sentence."""


class NotMade(Exception):
    """The message says what happened, why, and what to do."""
