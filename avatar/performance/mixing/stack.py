"""Mixing a stack of layers to one motion.

What a mix is made of.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from avatar.common.toml_config import read_toml
from avatar.errors import HeadsplatError
from avatar.motion.edit import even_times
from avatar.motion.presets import FacePreset
from avatar.performance.mixing.amplify import amplified, without_contradictions
from avatar.performance.mixing.closures import ClosureReport, closed_frames, keep_closures
from avatar.performance.mixing.keyframes import is_keyframes
from avatar.performance.mixing.lag_smoothing import smoothed
from avatar.performance.mixing.layer import Canvas, Layer, combine
from avatar.performance.mixing.mouth import mouth_model
from avatar.performance.mixing.regions import EYELIDS, NAMES, REGIONS, Mask
from avatar.performance.mixing.sources import PRESSED_MM, Loaders, Source, framed, kind_of, load_source
from avatar.performance.mixing.stack_file import MAX_BYTES, LayerSpec, StackSpec, read_stack, stack_of
from avatar.types import JOINT_NAMES, Motion

#: Frames per second where no layer is a motion.
DEFAULT_FPS = 60.0
#: Frames of a mix at most: two hours at 60 fps.
MAX_FRAMES = 432_000
#: Stacks within stacks.
MAX_DEPTH = 8
_MOUTH = np.array([name in (*REGIONS["lips"], *REGIONS["jaw"], *REGIONS["tongue"]) for name in NAMES])


@dataclass(frozen=True)
class LayerReport:
    """One layer."""

    label: str
    kind: str
    mode: str
    regions: str
    strength: float
    start: float  # seconds
    end: float  # seconds; infinite: until the stack ends

    @staticmethod
    def of(layer: Layer) -> LayerReport:
        """Of a layer."""
        chosen = layer.spec.regions
        if chosen is None:
            chosen = "mouth" if layer.source.kind == "speech" else "all"
        if isinstance(chosen, Mapping):
            chosen = [f"{selector} {weight:g}" for selector, weight in chosen.items()]
        text = chosen if isinstance(chosen, str) else ", ".join(chosen)
        kind = f"frame {layer.spec.frame}" if layer.spec.frame is not None else layer.source.kind
        spec = layer.spec
        return LayerReport(spec.label, kind, layer.mode, text, spec.strength, spec.start, layer.end)

    def to_text(self) -> str:
        """One line."""
        end = "the end" if math.isinf(self.end) else f"{self.end:.2f} s"
        strength = "" if self.strength == 1 else f" at {self.strength:g}"
        return f"{self.label} ({self.kind}): {self.mode} {self.regions}{strength}, {self.start:.2f} s to {end}"


@dataclass(frozen=True)
class MixReport:
    """A whole mix."""

    layers: tuple[LayerReport, ...]  # from the bottom to the top
    frames: int
    fps: float
    closures: ClosureReport | None  # None: no layer's closures are kept
    notes: tuple[str, ...]  # of the sources

    def to_text(self) -> str:
        """Lines for a terminal."""
        rows = [f"layer {number}: {layer.to_text()}" for number, layer in enumerate(self.layers, 1)]
        if self.closures is not None:
            rows.append(self.closures.to_text())
        return "\n".join(rows)


@dataclass(frozen=True)
class Mix:
    """A mixed motion."""

    motion: Motion
    report: MixReport


@dataclass(frozen=True)
class _Opened:
    """Stack files that are being read, and the motions of those that have been."""

    trail: tuple[str, ...] = ()  # places of the files that contain this stack
    done: dict[str, Motion] = field(default_factory=dict)  # place -> motion: a stack that is used often is mixed once

    def inside(self, place: str) -> _Opened:
        return _Opened((*self.trail, place), self.done)


def mix_file(path: Path, loaders: Loaders, fps: float | None = None) -> Mix:
    """Mix the file `path`, a stack or keyframes, at `fps` frames per second or its own rate; see `mix`."""
    content = read_toml(path, "stack file", "check its path", MAX_BYTES)
    if is_keyframes(path, content):
        spec = StackSpec((LayerSpec(str(path.absolute()), name=path.name),))
    else:
        spec = stack_of(content, path)
    return mix_of_file(spec if fps is None else replace(spec, fps=fps), path, loaders)


def mix_of_file(spec: StackSpec, path: Path, loaders: Loaders) -> Mix:
    """Mix the stack `spec` that was read from the file `path`, which it must not contain; see `mix`."""
    return mix(spec, loaders, _Opened((_place(path),)))


def mix(spec: StackSpec, loaders: Loaders, opened: _Opened | None = None) -> Mix:
    """Mix layers, from the bottom to the top, to one motion at a constant rate: frame k is at k / fps.

    Then the mix as a whole: amplification, opposites, opening of the mouth, smoothing, and at last the lip closures.
    Each expression depends on the layers and settings of its own region only, but for jaw and lips, which share the
    lip gap: another speech changes no bit of the upper face, as long as the stack lasts as long.

    Args:
        spec: the stack.
        loaders: for sources that need other parts of headsplat.
        opened: of the stacks that contain this one; None: nothing contains it.

    Raises:
        HeadsplatError: a source cannot be read, a stack contains itself, nothing has an end, or it is too long.
    """
    if not spec.layers:
        raise HeadsplatError("the stack has no layers; give at least one source")
    opened = opened or _Opened()
    own = spec.own_presets()
    layers = [Layer(layer, _source(spec, number, loaders, opened, own)) for number, layer in enumerate(spec.layers)]
    fps = spec.fps or _natural_rate(layers)
    times = _times(spec, layers, fps)
    canvas = Canvas(
        np.zeros((len(times), len(NAMES))),
        torch.zeros(len(times), len(JOINT_NAMES), 3, dtype=torch.float64),
        np.zeros((len(times), 3)),
        np.zeros(len(NAMES), int),
    )
    closed = np.zeros(len(times), bool)
    pressed = np.zeros(len(times))
    speakers = _speakers(spec, layers)
    reports = []
    notes = []
    for number, layer in enumerate(layers):
        frames = layer.frames(times, 1 / fps)
        strength = layer.strength(times, np.random.default_rng([spec.seed, number]))
        combine(canvas, layer, frames, strength)
        notes += [f"{layer.spec.label}: {note}" for note in frames.notes]
        reports.append(LayerReport.of(layer))
        if number in speakers:
            gap = layer.smallest_gap(times, 1 / fps)
            spoken = strength > 0
            closed |= closed_frames(gap, spoken, fps, spec.closures)
            pressed = np.minimum(pressed, np.where(spoken, gap.clip(-PRESSED_MM, 0), 0))
    motion, closures = _finished(spec, layers, canvas, times, (closed, pressed))
    report = MixReport(tuple(reports), len(times), fps, closures if speakers else None, tuple(dict.fromkeys(notes)))
    return Mix(replace(motion, notes=report.notes), report)


def _finished(
    spec: StackSpec,
    layers: Sequence[Layer],
    canvas: Canvas,
    times: np.ndarray,
    lips: tuple[np.ndarray, np.ndarray],
) -> tuple[Motion, ClosureReport]:
    """The motion of the canvas after everything that is done with the mix as a whole.

    Args:
        spec: what is done.
        layers: of the canvas.
        canvas: T frames.
        times: [T] seconds.
        lips: [T] bool, frames at which the speech closes the lips; [T] mm, 0 or negative, by how much it presses them.
    """
    weights = canvas.weights.clip(0, 1)
    weights = amplified(weights, spec.amplify)
    if spec.exclude:
        amplified_names = Mask.of(spec.amplify.keys()).names > 0 if spec.amplify else np.zeros(len(NAMES), bool)
        weights = without_contradictions(weights, (canvas.touched > 1) | amplified_names)
    if spec.opening.given:
        weights = spec.opening.apply(weights, times)
    motion = Motion(
        torch.from_numpy(times),
        NAMES,
        torch.from_numpy(weights).float(),
        "arkit52",
        canvas.joint_rot.float(),
        torch.from_numpy(canvas.translation).float(),
        resting="zero",
    )
    motion = smoothed(motion, spec.smooth)
    closed, pressed = lips
    rate = 1 / float(times[1] - times[0]) if len(times) > 1 else DEFAULT_FPS
    mixed = motion.weights.double().numpy()
    kept, report = keep_closures(mixed, closed, rate, mouth_model(), spec.closures, pressed)
    has_lids = any(name in layer.source.motion.names for layer in layers for name in EYELIDS)
    names = NAMES if has_lids else NAMES[: -len(EYELIDS)]
    return replace(motion, names=names, weights=torch.from_numpy(kept[:, : len(names)]).float()), report


def _source(spec: StackSpec, number: int, loaders: Loaders, opened: _Opened, own: Sequence[FacePreset]) -> Source:
    layer = spec.layers[number]
    path = spec.folder / Path(layer.source).expanduser()
    try:
        kind = kind_of(layer, path, own)
        if kind != "stack":
            return load_source(layer, kind, path, loaders, spec.seed, own)
    except OSError as error:  # a name that no file can have
        raise HeadsplatError(f"layer {number + 1}: {layer.source!r:.80} is not a name of a file; correct it") from error
    place = _place(path)
    if place in opened.trail:
        raise HeadsplatError(f"{path}: the stack contains itself; take it out of its layers")
    if len(opened.trail) >= MAX_DEPTH:
        raise HeadsplatError(f"{path}: more than {MAX_DEPTH} stacks within each other; put the layers in one file")
    if place not in opened.done:
        opened.done[place] = mix(read_stack(path), loaders, opened.inside(place)).motion
    return framed(layer, Source("stack", opened.done[place], True))


def _place(path: Path) -> str:
    return os.path.realpath(path)


def _natural_rate(layers: Sequence[Layer]) -> float:
    """The rate of the lowest motion, as a whole number where it is one up to jitter of its times."""
    for layer in layers:
        if not layer.source.is_static and layer.source.kind != "keyframes":
            rate = layer.source.motion.rate
            return float(round(rate)) if abs(rate - round(rate)) < 0.05 and rate >= 1 else max(1.0, min(rate, 240.0))
    return DEFAULT_FPS


def _times(spec: StackSpec, layers: Sequence[Layer], fps: float) -> np.ndarray:
    """Times [T] in seconds of the frames.

    Raises:
        HeadsplatError: no layer has an end, or there would be too many frames.
    """
    ends = [layer.natural_end for layer in layers if math.isfinite(layer.natural_end)]
    end = spec.duration if spec.duration is not None else max(ends, default=None)
    if end is None:
        raise HeadsplatError(
            "no layer has an end: faces, loops and held frames go on; give the stack a duration in seconds"
        )
    if end * fps >= MAX_FRAMES:
        raise HeadsplatError(
            f"{end:.0f} s at {fps:g} fps are {end * fps:.0f} frames, at most {MAX_FRAMES} are mixed; give a shorter "
            "duration or a lower fps"
        )
    times = even_times(np.array([0.0, end]), fps)
    return times[times < end - 1e-9] if spec.duration is not None and len(times) > 1 else times


def _speakers(spec: StackSpec, layers: Sequence[Layer]) -> set[int]:
    """Numbers of the layers whose lip closures are kept."""
    if not spec.closures.keep:
        return set()
    if chosen := {number for number, layer in enumerate(layers) if layer.spec.closures}:
        return chosen
    open_to = [number for number, layer in enumerate(layers) if layer.spec.closures is None]
    if speech := {number for number in open_to if layers[number].source.kind == "speech"}:
        return speech
    mouths = [number for number, layer in enumerate(layers) if (layer.mask.names * _MOUTH).any()]
    amplified_mouth = bool(spec.amplify) and bool((Mask.of(spec.amplify.keys()).names * _MOUTH).any())
    if len(mouths) < 2 and not amplified_mouth and not spec.opening.given:
        return set()  # a single mouth stays as it is
    moving = [n for n in mouths if n in open_to and not layers[n].source.is_static and layers[n].mode == "replace"]
    return set(moving[:1])
