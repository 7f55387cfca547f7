"""The one exception type whose text is meant for the person at the keyboard."""

from __future__ import annotations


class HeadsplatError(Exception):
    """A failure the user can act on: one sentence that says what, where and what to do.

    The command line prints it on stderr and exits with 1; libraries raise it and never print.
    """
