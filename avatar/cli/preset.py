"""`headsplat preset`: faces saved by a name, for the window, pages, mixes and voices of an avatar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg, subcommand

from avatar.cli.progress import SENTENCES, show
from avatar.common.files import path_text
from avatar.common.printable import single_line
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import OptionalInt, OptionalPath
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.parsing import parse_gain

if TYPE_CHECKING:
    from avatar.motion.presets import FacePreset

Owner = Annotated[Positional[Path], arg(metavar="AVATAR|FILE.presets.json")]
Name = Annotated[Positional[str], arg(metavar="NAME")]


@dataclass(frozen=True)
class PresetAdd:
    """Save a face by a name: weights, action units, a frame of a motion, or the face in a photo."""

    owner: Owner
    """an avatar, whose presets are in a .presets.json file beside it, or such a file apart, which need not exist"""
    name: Name
    """of the face, such as grin"""
    weights: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=WEIGHT,...")] = ()
    """weights by expression, ARKit's or of the avatar's head: jawOpen=.4,mouthSmileLeft=.6"""
    units: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="AU=INTENSITY,...")] = ()
    """action units, 0 to 1, kept as such; of one side with L or R of the person: AU6=.8,AU12R=1"""
    motion: OptionalPath = None
    """a motion, of which --frame is the face: an expression file or a capture folder"""
    frame: Annotated[OptionalInt, Between(0, 10_000_000)] = None
    """number of the frame of --motion, from 0"""
    with_head: bool = False
    """the frame of --motion also turns the head"""
    photo: OptionalPath = None
    """a photo with the face"""
    consent: str = ""
    """a note on the consent of the person that it was made of; stored with the preset"""
    key: Annotated[OptionalInt, Between(1, 9)] = None
    """the key that shows it in the window and on pages; default: the first that is free"""
    overwrite: bool = False
    """replace a preset of that name"""

    def run(self) -> int:
        """Read the face and save it; returns the exit code."""
        from avatar.motion.presets import preset_named, saved_sentence, with_free_key, with_preset

        self._check()
        weights = parse_gain(self.weights, "--weights")
        units = parse_gain(self.units, "--units")
        with _opened(self.owner, self.motion, self.photo) as file:
            preset = self._preset(weights, units)
            if preset_named(file.presets, self.name) and not self.overwrite:
                raise HeadsplatError(
                    f"{path_text(file.path)}: has a preset {self.name!r}; give another name, or --overwrite"
                )
            preset = with_free_key(file.presets, preset) if self.key is None else replace(preset, key=self.key)
            file.write(with_preset(file.presets, preset, overwrite=self.overwrite))
        print(saved_sentence(file.path, preset))
        return 0

    def _check(self) -> None:
        given = [f"--{name}" for name in ("weights", "units", "motion", "photo") if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise HeadsplatError(f"preset add: expected one of --weights, --units, --motion and --photo, got {found}")
        if (self.frame is None) != (self.motion is None):
            raise HeadsplatError("--frame: the number of a frame of --motion; give both, or leave both out")
        if self.with_head and self.motion is None:
            raise HeadsplatError("--with-head: only used with --motion; leave it out")

    def _preset(self, weights: dict[str, float], units: dict[str, float]) -> FacePreset:
        from avatar.jobs.own_presets import preset_of_frame, preset_of_photo, preset_of_units, preset_of_weights

        consent = path_text(self.consent)
        if self.photo is not None:
            return preset_of_photo(self.name, self.photo, consent, notices=SENTENCES)
        if self.motion is not None and self.frame is not None:
            return preset_of_frame(
                self.name, self.motion, self.frame, consent, with_head=self.with_head, notices=SENTENCES
            )
        if units:
            return preset_of_units(self.name, units, consent, "--units")
        avatar = None if self.owner.suffix == ".json" else self.owner
        return preset_of_weights(self.name, weights, consent, avatar=avatar)


@dataclass(frozen=True)
class PresetList:
    """List the presets of an avatar or a file."""

    owner: Owner
    """an avatar or a .presets.json file"""

    def run(self) -> int:
        """Print a line for each; returns the exit code."""
        from avatar.motion.presets import presets_path, read_presets

        presets = read_presets(presets_path(self.owner))
        for preset in presets:
            shown = preset.units or preset.weights
            weights = " ".join(f"{name}={weight:.3g}" for name, weight in shown.items())
            pose = [
                f"{key} " + ",".join(f"{angle:g}" for angle in degrees)
                for key, degrees in (("head", preset.head), ("jaw", preset.jaw))
                if any(degrees)
            ]
            origin = [text for text in (preset.source and f"from {preset.source}", preset.consent) if text]
            key = "  " if preset.key is None else f"{preset.key} "
            show(single_line(f"{key}{preset.name}: " + "; ".join([weights or "the resting face", *pose, *origin])))
        if not presets:
            show("no presets")
        return 0


@dataclass(frozen=True)
class PresetRemove:
    """Remove a preset."""

    owner: Owner
    """an avatar or a .presets.json file"""
    name: Name
    """of the preset"""

    def run(self) -> int:
        """Remove it; returns the exit code."""
        from avatar.motion.presets import presets_path, read_presets, without_preset

        read_presets(presets_path(self.owner))
        with _opened(self.owner) as file:
            file.write(without_preset(file.presets, self.name))
        print(f"{path_text(file.path)}: {self.name} removed")
        return 0


@dataclass(frozen=True)
class PresetCommand:
    """Faces saved by a name, for the window, pages, mixes and voices of an avatar."""

    action: OmitArgPrefixes[
        Annotated[PresetAdd, subcommand("add", prefix_name=False)]
        | Annotated[PresetList, subcommand("list", prefix_name=False)]
        | Annotated[PresetRemove, subcommand("remove", prefix_name=False)]
    ]

    def run(self) -> int:
        """Run the action; returns the exit code."""
        return self.action.run()


@dataclass(frozen=True)
class _File:
    """A file of presets that is locked."""

    path: Path
    presets: tuple[FacePreset, ...]

    def write(self, presets: tuple[FacePreset, ...]) -> None:
        """Replace its presets."""
        from avatar.motion.presets import write_presets

        write_presets(self.path, presets)


@contextmanager
def _opened(owner: Path, *inputs: Path | None) -> Iterator[_File]:
    """The file of the presets of an avatar, or the file `owner` itself, locked for the block."""
    from avatar.motion.presets import own_presets, presets_path

    path = presets_path(owner)
    if path != owner and not owner.is_file():
        raise HeadsplatError(f"{path_text(owner)}: no such avatar; give an avatar, or a name in .presets.json")
    output = Output(path, "the file of presets", suffixes=(".json",), renewed=True)
    with reserved([output], [None if path == owner else owner, *inputs]):
        yield _File(path, own_presets(path))
