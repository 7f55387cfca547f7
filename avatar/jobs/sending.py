"""The faces of a live source sent to other programs, as a job does it for `--send`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from avatar.jobs.notices import Notices

if TYPE_CHECKING:
    from avatar.driving.live.samples import Sample
    from capture.live.protocols.send import UdpSender


class Senders:
    """The senders of `--send`, open in a block."""

    def __init__(self, targets: Sequence[str], notices: Notices) -> None:
        """
        Args:
            targets: a protocol each, with `:HOST` and `:PORT`.
            notices: receives a sentence for each.
        """
        self._targets = targets
        self._notices = notices
        self._stack = ExitStack()
        self._senders: list[UdpSender] = []

    def __enter__(self) -> Senders:
        """Open them; raises HeadsplatError for an unknown protocol, an invalid port, or a host without an address."""
        if self._targets:
            from capture.live.protocols.registry import udp_sender

            with ExitStack() as stack:
                for target in self._targets:
                    sender = udp_sender(target)
                    stack.callback(sender.close)
                    self._senders.append(sender)
                self._stack = stack.pop_all()
        for sender in self._senders:
            self._notices.say(f"sending {sender}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[UdpSender]:
        return iter(self._senders)

    @property
    def listener(self) -> Callable[[Sample], None] | None:
        """What takes the samples to send; None without a sender."""
        return self.send if self._senders else None

    def send(self, sample: Sample) -> None:
        """Send a sample by all."""
        for sender in self._senders:
            sender.send(sample)

    def summaries(self) -> tuple[str, ...]:
        """What each has sent."""
        return tuple(sender.summary() for sender in self._senders)
