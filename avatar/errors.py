"""The exception type whose message is meant for the user."""

from __future__ import annotations


class HeadsplatError(Exception):
    """A failure the user can act on: one sentence with what was found, where, and what to do.

    The command line prints it to stderr and exits with code 1; library code raises it and never prints.
    """
