"""Stack files: motions in layers, from the bottom to the top, in TOML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from avatar.common.frame_rate import MAX_FPS
from avatar.common.toml_config import apply_values, read_toml
from avatar.errors import HeadsplatError
from avatar.motion.presets import FacePreset, presets_path, read_presets
from avatar.performance.mixing.amplify import MAX_FACTOR
from avatar.performance.mixing.closures import ClosureOptions
from avatar.performance.mixing.envelope import Pulse
from avatar.performance.mixing.lag_smoothing import BoundedLag
from avatar.performance.mixing.mouth import Opening
from avatar.performance.mixing.regions import Mask

Kind = Literal["auto", "motion", "stack", "preset", "emotion", "keyframes", "photo", "speech"]
Mode = Literal["auto", "replace", "add", "max"]
Neutral = Literal["resting", "as-is"]
#: Layers of a stack, and bytes of its file.
MAX_LAYERS = 64
MAX_BYTES = 1 << 18
#: Factor of a layer's gain at most, and range of its speed.
MAX_GAIN = 4.0
SPEEDS = (0.01, 100.0)
#: Seconds: a week.
_MAX_TIME = 604_800.0


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a stack file."""

    source: str = ""
    """a motion file, capture folder, stack, keyframes, photo or sound; or a preset's name, or an emotion in words"""
    kind: Kind = "auto"
    """what the source is; auto: by its name and content"""
    name: str = ""
    """for messages; empty: the source"""
    regions: str | list[str] | dict[str, float] | None = None
    """where the layer acts: selectors, or weights 0..1 by selector; none: the mouth for speech, all for others"""
    mode: Mode = "auto"
    """replace, add or max; auto: add for presets, emotions and photos, replace for others"""
    strength: float = 1.0
    start: float = 0.0
    """seconds of the stack at which the layer starts"""
    trim: list[float] = field(default_factory=list)
    """[from, to] seconds of the source; `to` may be left out"""
    speed: float = 1.0
    fade_in: float = 0.0
    fade_out: float = 0.0
    loop: bool = False
    """repeat the source until the stack ends"""
    hold: bool = False
    """show the last frame until the stack ends"""
    frame: int | None = None
    """only this frame of the source, as a face that stays"""
    neutral: Neutral = "resting"
    """of a recorded motion. resting: the resting face and the mean head pose become zero; as-is: nothing is changed"""
    gain: dict[str, float] = field(default_factory=dict)
    """factors by selector, before bounds"""
    pulse: Pulse | None = None
    """the layer acts in pulses of onset, apex and offset only"""
    text: str | None = None
    """of speech: what is said"""
    closures: bool | None = None
    """whether closures of this layer are kept; none: those of speech, or else of the lowest motion of the mouth"""
    fps: float | None = None
    """of a motion file without times"""
    head: str | None = None
    """the head model that the motion's expressions were made for"""

    def __post_init__(self) -> None:
        _in_range(self, "strength", 0, 1)
        _in_range(self, "speed", *SPEEDS)
        for name in ("start", "fade_in", "fade_out"):
            _in_range(self, name, 0, _MAX_TIME)
        if self.loop and self.hold:
            raise ValueError("`loop` and `hold` exclude each other; leave one out")
        if self.frame is not None and self.frame < 0:
            raise ValueError(f"`frame` is {self.frame}, expected 0 for the first frame, 1 for the second, ...")
        if self.trim and not (len(self.trim) <= 2 and all(0 <= time <= _MAX_TIME for time in self.trim)):
            raise ValueError(f"`trim` is {self.trim!r:.60}, expected [from, to] in seconds from 0 on")
        if len(self.trim) == 2 and self.trim[1] <= self.trim[0]:
            raise ValueError(f"`trim` is {self.trim!r:.60}: the end is not after the start")

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name or (Path(self.source).name if "/" in self.source else self.source)


@dataclass(frozen=True)
class StackSpec:
    """A stack of layers, and what is done with their mix."""

    layers: tuple[LayerSpec, ...] = ()
    """from the bottom to the top"""
    folder: Path = Path()
    """that sources are relative to"""
    presets: str = ""
    """a file of presets, or an avatar that has one beside it: their names are sources, too"""
    fps: float | None = None
    """none: the rate of the lowest motion"""
    duration: float | None = None
    """seconds; none: until the last layer ends"""
    seed: int = 0
    amplify: dict[str, float] = field(default_factory=dict)
    """factors 0..1.5 by selector, with a soft knee"""
    exclude: bool = True
    """limit opposites, such as smile and frown, to a sum of 1"""
    opening: Opening = field(default_factory=Opening)
    closures: ClosureOptions = field(default_factory=ClosureOptions)
    smooth: BoundedLag = field(default_factory=lambda: BoundedLag(lag=0.0))

    def __post_init__(self) -> None:
        if self.fps is not None:
            _in_range(self, "fps", 1, MAX_FPS)
        if self.duration is not None:
            _in_range(self, "duration", 0, _MAX_TIME)
            if self.duration == 0:
                raise ValueError("`duration` is 0, expected more than 0 seconds")
        if "\0" in self.presets:
            raise ValueError("`presets` contains a null character; correct it")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` is {self.seed!r:.30}, expected 0 to 4294967295")

    def own_presets(self) -> tuple[FacePreset, ...]:
        """Those of `presets`; raises HeadsplatError as `read_presets`."""
        return read_presets(presets_path(self.folder / Path(self.presets).expanduser())) if self.presets else ()


def read_stack(path: Path) -> StackSpec:
    """Read a stack file.

    Args:
        path: TOML with [[layer]] tables, from the bottom to the top, and the other keys of `StackSpec`.

    Raises:
        HeadsplatError: missing or malformed, an unknown key (with the nearest known one), a value out of range, an
            unknown region, or no layer.
    """
    return stack_of(read_toml(path, "stack file", "check its path", MAX_BYTES), path)


def stack_of(content: Mapping[str, Any], path: Path) -> StackSpec:
    """The stack in the table `content` of the file `path`; raises HeadsplatError as `read_stack`."""
    where = str(path)
    values = dict(content)
    tables = values.pop("layer", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise HeadsplatError(f"{where}: `layer` is not a list of tables; write each one as [[layer]]")
    if not tables:
        raise HeadsplatError(f'{where}: no layers; give at least one [[layer]] with source = "..."')
    if len(tables) > MAX_LAYERS:
        raise HeadsplatError(
            f"{where}: {len(tables)} layers, at most {MAX_LAYERS} are mixed; put some in a second stack"
        )
    for key in ("layers", "folder"):
        if key in values:
            raise HeadsplatError(f"{where}: unknown key `{key}`; did you mean `layer`?")
    layers = tuple(_layer(table, f"{where}: layer {number}") for number, table in enumerate(tables, 1))
    stack = apply_values(StackSpec(layers, path.parent), values, where)
    check_factors(stack.amplify, f"{where}: `amplify`", MAX_FACTOR)
    return stack


def check_factors(factors: Mapping[str, Any], where: str, most: float) -> None:
    """Raise HeadsplatError for a factor that is not 0 to `most`, or a selector without expressions."""
    for selector, factor in factors.items():
        mask = Mask.of(selector, where)
        if not mask.names.any():
            raise HeadsplatError(
                f"{where}: {selector} has no expressions; scale the head's motion with "
                "`headsplat motion convert --gain head=FACTOR`"
            )
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 <= factor <= most:
            raise HeadsplatError(f"{where}: {selector} is {factor!r:.40}, expected a factor from 0 to {most:g}")


def _layer(table: Mapping[str, Any], where: str) -> LayerSpec:
    values = dict(table)
    pulse = values.pop("pulse", None)
    if not isinstance(values.get("source"), str) or not values["source"].strip():
        raise HeadsplatError(f'{where}: no source; give a file or a face, such as source = "take.csv" or "smile"')
    if "\0" in values["source"]:
        raise HeadsplatError(f"{where}: `source` contains a null character; correct it")
    layer = apply_values(LayerSpec(), values, where)
    if layer.regions is not None:
        Mask.of(layer.regions, f"{where}: `regions`")
    check_factors(layer.gain, f"{where}: `gain`", MAX_GAIN)
    if pulse is None:
        return layer
    if not isinstance(pulse, Mapping):
        raise HeadsplatError(f"{where}: `pulse` is a group of settings; write pulse = {{ times = [1.0, 3.5] }}")
    return replace(layer, pulse=apply_values(Pulse(), pulse, where, "pulse."))


def _in_range(record: Any, name: str, low: float, high: float) -> None:
    value = getattr(record, name)
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"`{name}` is {value:g}, expected {low:g} to {high:g}")
