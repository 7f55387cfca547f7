"""The `headsplat` command: one file per subcommand, arguments as frozen dataclasses; only this package prints.

This module imports nothing by itself: Ctrl-C must be handled before the imports that take time.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return the exit code.

    0 done, 1 failed with a message on stderr, 130 ended by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP; usage errors raise
    SystemExit(2).
    """
    try:
        from avatar.cli.command_line import run

        return run(argv)
    except KeyboardInterrupt:  # before `run` handles it, or while it prints its message
        import contextlib
        import os

        with contextlib.suppress(OSError):
            os.write(2, b"headsplat: stopped by Ctrl-C\n")
        return 130
