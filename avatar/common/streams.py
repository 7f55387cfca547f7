"""Standard streams whose failures do not end the work of a process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast


class GuardedStream:
    """A text stream whose writes never raise.

    Characters that its encoding lacks are escaped. Text that cannot be written (the reader has exited, the disk is
    full, the terminal is gone) is dropped, and so is all later text of the process.

    Attributes:
        failure: the first error of a write, otherwise None.
    """

    def __init__(self, stream: TextIO) -> None:
        """Args: stream: the stream to guard."""
        self._stream = stream
        self.failure: Exception | None = None

    def write(self, text: str) -> int:
        """Write `text` or drop it; returns its length."""
        self._attempt(lambda: self._stream.write(_encodable(text, self._stream)))
        return len(text)

    def flush(self) -> None:
        """Flush the stream or drop what is buffered."""
        self._attempt(self._stream.flush)

    def isatty(self) -> bool:
        """Whether it is a terminal; False for a closed stream."""
        with contextlib.suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _attempt(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            self.failure = self.failure or error
            if not isinstance(error, BlockingIOError):  # the reader of a pipe that does not block is slow, not gone
                self._discard_all()

    def _discard_all(self) -> None:
        """Replace its file by the null device: native libraries and the flush at exit use the same descriptor."""
        with contextlib.suppress(OSError, ValueError):
            descriptor = self._stream.fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)


@contextlib.contextmanager
def guarded_streams() -> Iterator[GuardedStream]:
    """Guard `sys.stdout` and `sys.stderr` in the block, closed ones included; yields the guarded stdout.

    Both are flushed at the end of the block, so that the interpreter has nothing left to write at exit.
    """
    _open_missing_descriptors()
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        # A stream is None where its descriptor was closed when the process started.
        streams = [
            GuardedStream(stack.enter_context(open(os.devnull, "w")) if stream is None else stream) for stream in before
        ]
        sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in streams)
        try:
            yield streams[0]
        finally:
            for stream in streams:
                stream.flush()
            sys.stdout, sys.stderr = before


def _open_missing_descriptors() -> None:
    """Open the null device for closed descriptors 0 to 2; an output file would get their number, and foreign lines."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _encodable(text: str, stream: TextIO) -> str:
    """`text` with escapes for characters that the encoding of `stream` lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text
