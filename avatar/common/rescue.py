"""A place for results that cannot be written where they belong."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

#: Parents of the folder, in this order; None: the temporary directory of the system. Memory is the last one: on many
#: machines the temporary directory is on the disk that is full.
_PARENTS = (None, "/dev/shm")


def rescue(write: Callable[[Path], object]) -> Path | None:
    """Call `write` with a new folder that only this user can read.

    Args:
        write: writes the results into the folder.

    Returns:
        The folder; None, and no folder remains, if the results could not be written anywhere.
    """
    for parent in _PARENTS:
        try:
            folder = Path(tempfile.mkdtemp(prefix="headsplat-rescue-", dir=parent))
        except OSError as error:
            log.debug("no rescue folder in %s: %s", parent, error)
            continue
        try:
            write(folder)
        except Exception as error:  # whatever a writer raises: the next place may work
            log.debug("%s: %s", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return folder
    return None
