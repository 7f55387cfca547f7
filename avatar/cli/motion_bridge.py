"""`headsplat motion bridge`: learn what the coefficients of another program mean from a film that both saw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import SENTENCES, say, show
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import OptionalFps, OptionalHead, OptionalText, Out
from avatar.jobs.outputs import Output, reserved

if TYPE_CHECKING:
    from avatar.head import HeadModel
    from avatar.performance.coefficients.learn import Pair


@dataclass(frozen=True)
class MotionBridge:
    """Learn a bridge from the coefficients of another program to expressions, from frames of a film that both saw."""

    pairs: Annotated[Positional[tuple[Path, ...]], arg(metavar="COEFFICIENTS MOTION")]
    """the other program's .npz, .npy or .csv, then the motion or capture of the same film; further pairs may follow"""
    out: Out
    """the bridge: NAME.bridge.npz"""
    keys: OptionalText = None
    """arrays of the .npz or columns of the .csv with the coefficients, by commas; * stands for any text: exp,jaw_*"""
    fps: OptionalFps = None
    """frame rate of coefficients without times; default: frame by frame where both have as many, else 30"""
    max_lag: Annotated[float, Between(0, 10), arg(metavar="SECONDS")] = 1.0
    """how late or early the coefficients may be: the time is found; 0 takes both times as they are"""
    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motions' expressions were made for"""
    motion_fps: OptionalFps = None
    """frame rate of a motion file without times, or of rows whose timecodes are wrong"""
    json: bool = False
    """print JSON"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Read, learn, and write the bridge; returns the exit code."""
        from avatar.performance.coefficients.learned_bridge import SUFFIX

        if len(self.pairs) % 2 or not self.pairs:
            raise HeadsplatError(
                "motion bridge: expected pairs of a file of coefficients and the motion or capture of the same film, "
                f"got {len(self.pairs)} paths"
            )
        output = Output(self.out, suffixes=(SUFFIX,))
        with reserved([output], (*self.pairs, self.motion_head), overwrite=self.overwrite):
            self._learn()
        return 0

    def _learn(self) -> None:
        from avatar.performance.coefficients.learn import learn_bridge

        keys = parse_keys(self.keys)
        pairs, head = self._read(keys)
        bridge, notes = learn_bridge(pairs, keys, self.max_lag, head)
        bridge.save(self.out)
        for note in (*(note for pair in pairs for note in pair.coefficients.notes), *notes):
            say(note)
        show(
            json.dumps(bridge.report(), indent=1) if self.json else f"{bridge.table()}\n{self.out}: {bridge.sentence()}"
        )

    def _read(self, keys: tuple[str, ...]) -> tuple[list[Pair], HeadModel | None]:
        """The pairs, and the head model of their expressions where it is known."""
        from avatar.head import load_head
        from avatar.jobs.motion_sources import load_source
        from avatar.performance.coefficients.learn import Pair
        from avatar.performance.coefficients.table import read_coefficients

        pairs, head = [], None
        for coefficients, motion in zip(self.pairs[::2], self.pairs[1::2], strict=True):
            found = read_coefficients(coefficients, keys, self.fps)
            source = load_source(motion, self.motion_head, self.motion_fps, notices=SENTENCES)
            head = source.head or (load_head() if source.motion.space == "arkit52" else None)
            pairs.append(Pair(found, source.motion, source.label))
        return pairs, head


def parse_keys(text: str | None) -> tuple[str, ...]:
    """Parse names separated by commas; raises HeadsplatError."""
    keys = tuple(key.strip() for key in (text or "").split(","))
    if text is None:
        return ()
    if not all(keys) or len(set(keys)) < len(keys):
        raise HeadsplatError(f"--keys: {text!r}: expected different names separated by commas, such as exp,jaw")
    return keys
