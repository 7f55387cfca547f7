"""Whether a hand, a mug or a phone is before the eyes or the mouth of a face, by what its other frames show.

The landmark network puts lips and lids onto whatever hides them. What the pixels show there is then not the pattern of
dark, red and pale places that lips and eyes have: its correlation with the pattern of the person's other frames falls
to about 0. Expressions, turns, light and blur leave more than half of it, because the landmarks move with the face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from avatar.head.arkit import HIDEABLE
from capture.tracker.indices import CHANGING, FACE_COUNT, HIDEABLE_LANDMARKS, LEFT_CORNER, RIGHT_CORNER

#: Landmarks whose colors are compared. Teeth and tongue come and go at the inner edge of the lips, eyes and lashes at
#: the lids, and irises move: with the lids compared, 15 frames in which a woman with eyeliner closes her eyes have a
#: likeness of .44 to .55; without them .62 and more.
_COMPARED = {
    region: np.setdiff1d(places[places < FACE_COUNT], CHANGING) for region, places in HIDEABLE_LANDMARKS.items()
}
#: Tip of the nose, outlines of the cheeks; difference of their distances, over the width of the face, from which on the
#: face is turned: the landmarks of its far side are then at its outline, on hair or on the background.
_NOSE = 1
_RIGHT_CHEEK = 234
_LEFT_CHEEK = 454
_TURNED = 0.2
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
#: Light relative to the face's that reflections and codecs leave unknown; weight of the differences in color.
_FLOOR = 0.05
_COLOR = {"eyes": 2.0, "mouth": 3.0}
#: Light of the face (linear, 0..1) under which patterns are those of the codec.
_DARK = 0.01
#: Correlation below which a region is hidden, and above which it is visible again.
HIDDEN = 0.48
VISIBLE = 0.54
#: Consecutive frames that decide; seconds of frames from which a person's pattern is known, and over which it adapts.
_FRAMES = 2
_LEARN_SECONDS = 1.0
_LEARN_FRAMES = 10
_ADAPT_SECONDS = 10.0
#: Of a whole clip: frames that its usual colors need, share of them that must show these, and seconds around hidden
#: frames in which something comes or leaves.
_LEAST = 24
_MAJORITY = 0.6
_MARGIN = 0.1
#: Seconds after which what seems to hide a region is a second look of the person's: a mask that stays, or the hand was
#: there in the first second.
_SECOND_LOOK = 10.0


@dataclass(frozen=True)
class Patterns:
    """What T frames show of one region."""

    colors: np.ndarray  # [T,3,P] log brightness, red over green, green over blue; NaN for a face in the dark
    near: np.ndarray  # [T,P] bool, landmarks on the side of the face that is turned to the camera; all from the front

    def __getitem__(self, rows: np.ndarray | slice) -> Patterns:
        return Patterns(self.colors[rows], self.near[rows])

    def likeness(self, reference: np.ndarray) -> np.ndarray:
        """Correlation [T] with the colors of a reference [3,P]: of all landmarks, or of the near side if larger."""
        everywhere = np.ones_like(self.near)
        return np.maximum(self._correlation(reference, everywhere), self._correlation(reference, self.near))

    def _correlation(self, reference: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        weight = chosen[:, None].astype(np.float64)
        count = np.maximum(weight.sum(-1, keepdims=True), 1)
        first, second = (
            weight * (each - (weight * each).sum(-1, keepdims=True) / count) for each in (self.colors, reference[None])
        )
        size = np.sqrt(np.square(first).sum((1, 2)) * np.square(second).sum((1, 2)))
        return np.asarray((first * second).sum((1, 2)) / np.maximum(size, 1e-9))


def region_patterns(light: np.ndarray, points: np.ndarray) -> dict[str, Patterns]:
    """The patterns of T frames by region.

    Args:
        light: [T,L,3] linear light 0..1 around landmarks, L >= 468.
        points: these landmarks [T,L,2 or 3], pixels.
    """
    typical = np.median(light[:, :FACE_COUNT] @ _LUMINANCE, axis=1)
    relative = light / np.where(typical > _DARK, typical, np.nan)[:, None, None]
    across = points[:, LEFT_CORNER, :2] - points[:, RIGHT_CORNER, :2]
    along = np.einsum("tlc,tc->tl", points[..., :2] - points[:, _NOSE, None, :2], across)
    right, left = -along[:, _RIGHT_CHEEK], along[:, _LEFT_CHEEK]
    turn = (right - left) / np.maximum(np.abs(right + left), 1e-9)
    found = {}
    for region, places in _COMPARED.items():
        chosen = relative[:, places]
        logs = np.log(chosen + _FLOOR)
        brightness = np.log(chosen @ _LUMINANCE + _FLOOR)
        colors = (_COLOR[region] * (logs[..., k] - logs[..., k + 1]) for k in range(2))
        near = (np.abs(turn) < _TURNED)[:, None] | (along[:, places] * turn[:, None] <= 0)
        found[region] = Patterns(np.stack([brightness, *colors], axis=1), near)
    return found


def usual_colors(seen: Patterns) -> np.ndarray | None:
    """The colors [3,P] that most of T frames show of a region; None where there is no such majority."""
    known = seen[np.isfinite(seen.colors).all((1, 2))]
    if len(known.colors) < _LEAST:
        return None
    reference = np.median(known.colors, axis=0)
    alike = known.likeness(reference) > VISIBLE
    return None if alike.mean() < _MAJORITY else np.asarray(known.colors[alike].mean(0))


def hidden_frames(seen: Patterns, usual: np.ndarray | None, time: np.ndarray) -> np.ndarray:
    """Mask [T] of the frames that do not show the `usual` colors [3,P] of a region.

    Args:
        seen: of T frames that follow each other.
        usual: None: no frame is hidden.
        time: [T] seconds, increasing. The frames in which something comes or leaves count, too.
    """
    none = np.zeros(len(time), dtype=bool)
    if usual is None or not len(time):
        return none
    unlike = np.nan_to_num(seen.likeness(usual), nan=1.0) < HIDDEN
    padded = np.pad(unlike, 1, mode="edge").astype(int)
    moments = time[padded[:-2] + padded[1:-1] + padded[2:] >= 2]
    if not len(moments):
        return none
    place = np.searchsorted(moments, time)
    last, following = (moments[np.clip(each, 0, len(moments) - 1)] for each in (place - 1, place))
    return np.asarray(np.minimum(abs(time - last), abs(following - time)) <= _MARGIN)


@dataclass
class _Region:
    """What is known of one region, live."""

    reference: np.ndarray | None = None  # [3,P]
    second: np.ndarray | None = None  # [3,P]
    frames: int = 0  # that the reference was learned from
    began: float = 0.0  # seconds, of learning
    last: float = 0.0  # seconds, of the last frame
    is_hidden: bool = False
    opposing: int = 0  # consecutive frames that show the other state
    hidden_since: float = 0.0
    hidden_mean: np.ndarray | None = None  # [3,P] of the frames since then
    hidden_frames: int = 0

    def update(self, seen: Patterns, time: float) -> bool:
        """Whether the region is hidden in the frame `seen` [1] at `time` seconds."""
        pattern = seen.colors[0]
        if self.reference is None or self.frames < _LEARN_FRAMES or time - self.began < _LEARN_SECONDS:
            self._learn(pattern, time)
            return False
        first = float(seen.likeness(self.reference)[0])
        other = -1.0 if self.second is None else float(seen.likeness(self.second)[0])
        likeness = max(first, other)
        opposes = likeness > VISIBLE if self.is_hidden else likeness < HIDDEN
        self.opposing = self.opposing + 1 if opposes else 0
        if self.opposing >= _FRAMES:
            self.is_hidden = not self.is_hidden
            self.opposing = 0
            self.hidden_since = time
            self.hidden_mean, self.hidden_frames = None, 0
        if self.is_hidden:
            self._watch_hidden(pattern, time)
        elif likeness > VISIBLE:
            self._adapt(pattern, min((time - self.last) / _ADAPT_SECONDS, 0.1), first >= other)
        self.last = time
        return self.is_hidden

    def _learn(self, pattern: np.ndarray, time: float) -> None:
        if self.reference is None:
            self.began = time
            self.reference = np.zeros_like(pattern)
        self.frames += 1
        self.reference = self.reference + (pattern - self.reference) / self.frames
        self.last = time

    def _adapt(self, pattern: np.ndarray, amount: float, is_first: bool) -> None:
        if is_first:
            assert self.reference is not None
            self.reference = self.reference + amount * (pattern - self.reference)
        else:
            assert self.second is not None
            self.second = self.second + amount * (pattern - self.second)

    def _watch_hidden(self, pattern: np.ndarray, time: float) -> None:
        mean = np.zeros_like(pattern) if self.hidden_mean is None else self.hidden_mean
        self.hidden_frames += 1
        self.hidden_mean = mean + (pattern - mean) / self.hidden_frames
        if time - self.hidden_since > _SECOND_LOOK:
            self.second = self.hidden_mean
            self.is_hidden = False


@dataclass
class HiddenRegions:
    """Which regions are hidden in the frames of a camera, one after another; causal."""

    _regions: Mapping[str, _Region] = field(default_factory=lambda: {region: _Region() for region in HIDEABLE})

    def __call__(self, light: np.ndarray, points: np.ndarray, time: float) -> tuple[str, ...]:
        """The hidden regions.

        Args:
            light: [L,3] linear light 0..1 around the landmarks of the frame.
            points: these landmarks [L,2 or 3], pixels.
            time: of the frame, seconds.
        """
        found = region_patterns(light[None], points[None])
        if not all(np.isfinite(each.colors).all() for each in found.values()):
            return ()
        return tuple(region for region, state in self._regions.items() if state.update(found[region], time))
