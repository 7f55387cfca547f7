"""Why packets that arrive drive nothing, or wrongly, as a sentence for the user."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from avatar.common.printable import single_line

#: Seconds without a usable pose, while packets arrive, after which the reason is reported.
TOLD_AFTER = 3.0

Reason = Literal[
    "malformed", "incomplete", "names", "no expressions", "zero", "no face", "late", "percent", "some malformed",
    "degrees", "foreign",
]  # fmt: skip
#: Reasons that usable poses do not end.
_LASTING: tuple[Reason, ...] = ("some malformed", "degrees", "foreign")
_SENTENCES: dict[Reason, str] = {
    "malformed": "packets arrive that cannot be read ({detail}): choose the sender's protocol with --listen, or "
    "another format in the sender",
    "incomplete": "packets arrive, and no expressions in them: let the sender send expressions (blend shapes) too",
    "names": "none of the expressions that arrive has a name that headsplat knows ({detail}): give the sender a model "
    "with ARKit's names or VRM's presets",
    "no expressions": "poses arrive without expressions: let the sender send expressions (blend shapes) too",
    "zero": "poses arrive, and all of their weights are 0: if the face moves, start its tracking in the sender",
    "no face": "poses arrive, and the sender says that it tracks no face: look into its camera, or start its tracking",
    "late": "poses arrive that are older than the newest one: restart the sender",
    "percent": "the weights that arrive never exceed 1, where 0 to 100 is expected, so that the face hardly moves: let "
    "the sender send percent",
    "some malformed": "some of the packets that arrive cannot be read and are dropped ({detail}): correct the values "
    "in the sender, or choose another format there",
    "degrees": "angles arrive that are above one turn in radians, as degrees are: let the sender send radians",
    "foreign": "poses of {detail} arrive and are not used while another sender or subject sends: end the one that is "
    "not wanted",
}


class UnusedPackets:
    """What has arrived since the last usable pose, by the reason why it was not used; lasting reasons apart."""

    def __init__(self) -> None:
        self._own = _Run()
        self._lasting = {reason: _Run() for reason in _LASTING}

    def add(self, reason: Reason, now: float, detail: str = "") -> None:
        """Count a packet at `now` seconds that was not used, or not as the sender means it."""
        self._lasting.get(reason, self._own).add(reason, now, detail)

    def clear(self) -> None:
        """A usable pose has arrived."""
        self._own.clear()

    def sentences(self, now: float) -> dict[Reason, str]:
        """What arrives, why it is not used and what to do, by the reason; empty where there is nothing to tell."""
        reasons = ((run, run.reason(now)) for run in (self._own, *self._lasting.values()))
        return {reason: _SENTENCES[reason].format(detail=run.details[reason]) for run, reason in reasons if reason}


class _Run:
    """Packets without a usable one between them."""

    def __init__(self) -> None:
        self._counts: Counter[Reason] = Counter()
        self.details: dict[Reason, str] = {}  # the last
        self._since = self._last = 0.0  # seconds, of the first and the last packet

    def add(self, reason: Reason, now: float, detail: str = "") -> None:
        """Count a packet at `now` seconds."""
        if not self._counts or now - self._last > TOLD_AFTER:
            self.clear()
            self._since = now
        self._counts[reason] += 1
        self.details[reason] = single_line(detail)
        self._last = now

    def clear(self) -> None:
        """Forget them."""
        self._counts.clear()

    def reason(self, now: float) -> Reason | None:
        """The most frequent reason; None before TOLD_AFTER, and where nothing arrives any more."""
        if not self._counts or self._last - self._since < TOLD_AFTER or now - self._last > TOLD_AFTER:
            return None
        return self._counts.most_common(1)[0][0]
