"""`headsplat motion mix`: motions in layers, to one motion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from avatar.cli.progress import SENTENCES, say, show
from avatar.common.frame_rate import MAX_FPS
from avatar.common.jsonable import counted
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import SEED, OptionalFloat, OptionalInt, OptionalPath, Out
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.parsing import parse_gain

if TYPE_CHECKING:
    from avatar.performance.mixing.stack_file import LayerSpec, StackSpec

_WORDS = "WORDS"
#: Seconds over which the mouth of the base and that of a speech that is shorter change over.
_FADE = 0.1


@dataclass(frozen=True)
class MotionMix:
    """Mix motions in layers: speech, faces and emotions on a motion, by region of the face."""

    base: Annotated[Positional[Path], arg(metavar="STACK.toml|FILE|CAPTURE")]
    """a stack file of layers, or the motion at the bottom: an expression file or a capture folder"""
    out: Out
    """a Live Link .csv, an ARKit .json or our own .motion.npz"""
    speech: OptionalPath = None
    """a sound, or the motion of a speaking face, that replaces lips, jaw and tongue"""
    text: Annotated[str | None, arg(metavar=_WORDS)] = None
    """the words that are spoken in the sound of --speech"""
    emotion: Annotated[str | None, arg(metavar=_WORDS)] = None
    """a face on top: a preset's name (smile, sad), or words such as "slightly surprised"; or a photo"""
    presets: Annotated[OptionalPath, arg(metavar="FILE|AVATAR")] = None
    """own presets, for --emotion and the layers of a stack: a .presets.json file, or the avatar beside it"""
    intensity: Annotated[OptionalFloat, Between(0, 1)] = None
    """strength of --emotion; default: 1"""
    amplify: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="REGION=FACTOR,...")] = ()
    """factors up to 1.5 by region or expression, .left or .right for one side: brows=1.3,lids.left=1.2"""
    opening_mm: Annotated[OptionalFloat, Between(0, 45), arg(metavar="MM")] = None
    """scale the opening of the mouth so that the largest gap between the lips is this"""
    smooth_lag: Annotated[OptionalFloat, Between(0, 0.5), arg(metavar="SECONDS")] = None
    """smooth over this time to both sides; keeps blinks and other fast movements"""
    fps: Annotated[OptionalFloat, Between(1, MAX_FPS)] = None
    """frame rate; default: the stack's, or that of the lowest motion"""
    seed: Annotated[OptionalInt, SEED] = None
    """of random times of pulses and of acting in speech; default: the stack's, or 0"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Read, mix and write; returns the exit code."""
        self._check()
        spec = self._spec()
        inputs = [
            self.base,
            self.presets,
            *(spec.folder / layer.source for layer in spec.layers if len(layer.source) < 1000),
        ]
        output = Output(self.out, suffixes=(".csv", ".json", ".motion.npz"))
        with reserved([output], inputs, overwrite=self.overwrite):
            return self._mix(spec)

    def _check(self) -> None:
        for option, needed in (("text", "speech"), ("intensity", "emotion")):
            if getattr(self, option) is not None and getattr(self, needed) is None:
                raise HeadsplatError(f"--{option}: only used with --{needed}; give both, or leave it out")
        if self.emotion is not None and not self.emotion.strip():
            raise HeadsplatError("--emotion: expected a face in words, such as smile, got an empty text")
        if self.text is not None and not self.text.strip():
            raise HeadsplatError("--text: expected words, got an empty text; leave it out to recognize phones instead")

    def _mix(self, spec: StackSpec) -> int:
        from avatar.jobs.motion_sources import loaders
        from avatar.motion import write_motion
        from avatar.performance.mixing.stack import mix_of_file

        mixed = mix_of_file(spec, self.base, loaders(SENTENCES))
        missing = write_motion(self.out, mixed.motion)
        for note in (*mixed.report.notes, *missing):
            say(note)
        show(mixed.report.to_text())
        print(f"{self.out}: {counted(len(mixed.motion), 'frame')}, {mixed.report.fps:g} fps")
        return 0

    def _spec(self) -> StackSpec:
        """The stack of the command line."""
        from avatar.common.toml_config import read_toml
        from avatar.performance.mixing.amplify import MAX_FACTOR
        from avatar.performance.mixing.keyframes import is_keyframes
        from avatar.performance.mixing.stack_file import MAX_BYTES, LayerSpec, StackSpec, check_factors, stack_of

        spec = StackSpec((LayerSpec(str(self.base.absolute()), name=self.base.name),))
        if self.base.suffix.lower() == ".toml" and not self.base.is_dir():
            content = read_toml(self.base, "stack file", "check its path", MAX_BYTES)
            spec = spec if is_keyframes(self.base, content) else stack_of(content, self.base)
        spec = replace(spec, layers=(*spec.layers, *self._layers()))
        if self.presets is not None:
            spec = replace(spec, presets=str(self.presets.absolute()))
        factors = parse_gain(self.amplify, "--amplify")
        check_factors(factors, "--amplify", MAX_FACTOR)
        spec = replace(spec, amplify={**spec.amplify, **factors})
        if self.opening_mm is not None:
            spec = replace(spec, opening=replace(spec.opening, peak_mm=self.opening_mm))
        if self.smooth_lag is not None:
            spec = replace(spec, smooth=replace(spec.smooth, lag=self.smooth_lag))
        fps = spec.fps if self.fps is None else self.fps
        seed = spec.seed if self.seed is None else self.seed
        return replace(spec, fps=fps, seed=seed)

    def _layers(self) -> list[LayerSpec]:
        """The layers on top."""
        from avatar.performance.mixing.stack_file import LayerSpec

        layers = []
        if self.speech is not None:
            path = self.speech
            layer = LayerSpec(str(path.absolute()), name=path.name, regions="mouth", text=self.text, closures=True)
            layers.append(replace(layer, fade_in=_FADE, fade_out=_FADE))
        if self.emotion is not None:
            strength = 1.0 if self.intensity is None else self.intensity
            source = str(Path(self.emotion).absolute()) if Path(self.emotion).is_file() else self.emotion
            layers.append(LayerSpec(source, name=self.emotion, regions="face", strength=strength))
        return layers
