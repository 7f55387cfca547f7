"""How well the times of shut lips fit the true ones, at the frames of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from avatar.performance.speech.phones import BILABIALS, VOWELS, Phone


@dataclass
class ClosureScore:
    """Counts over any number of sounds.

    A true m, b or p is found if the frame nearest to the middle of its closure, or one of the two beside it, shows shut
    lips. A recognized closure shows them in every frame within it, or at least in the one nearest to its middle.
    """

    fps: float
    wanted: int = 0
    found: int = 0
    given: int = 0  # recognized closures
    right: int = 0  # of these, those of which a shut frame is within one frame of a true closure
    in_vowels: int = 0  # of the others, those whose middle lies within a vowel
    errors: list[float] = field(default_factory=list)  # seconds between the middles of found closures

    def add(self, truth: Sequence[Phone], got: Sequence[Phone]) -> None:
        """Count one sound."""
        step = 1 / self.fps
        true, closures = _closures(truth), _closures(got)
        shut = {frame for start, end in closures for frame in self._frames(start, end)}
        for phone in truth:
            if phone.name in BILABIALS:
                middle = round((phone.start + phone.end) / 2 * self.fps)
                self.wanted += 1
                self.found += bool(shut & {middle - 1, middle, middle + 1})
        for start, end in closures:
            self.given += 1
            near = [(a, b) for a, b in true if start < b + step and end > a - step]
            self.right += bool(near)
            middle = (start + end) / 2
            if near:
                self.errors.append(min((middle - (a + b) / 2 for a, b in near), key=abs))
            else:
                self.in_vowels += any(p.start <= middle < p.end and p.name in VOWELS for p in truth)

    def merge(self, other: ClosureScore) -> None:
        """Add the counts of another score."""
        self.wanted, self.found = self.wanted + other.wanted, self.found + other.found
        self.given, self.right = self.given + other.given, self.right + other.right
        self.in_vowels += other.in_vowels
        self.errors += other.errors

    def _frames(self, start: float, end: float) -> set[int]:
        first, last = int(-(-start * self.fps // 1)), int(end * self.fps // 1)
        return {*range(first, last + 1), round((start + end) / 2 * self.fps)}

    @property
    def recall(self) -> float:
        """Share of true m, b and p that are found."""
        return self.found / max(self.wanted, 1)

    @property
    def precision(self) -> float:
        """Share of recognized closures that are true."""
        return self.right / max(self.given, 1)


def _closures(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """Start and end of runs of bilabials."""
    found: list[tuple[float, float]] = []
    for phone in phones:
        if phone.name in BILABIALS:
            if found and phone.start - found[-1][1] < 1e-6:
                found[-1] = found[-1][0], phone.end
            else:
                found.append((phone.start, phone.end))
    return found
