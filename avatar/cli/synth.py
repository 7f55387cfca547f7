"""`headsplat synth`: footage of a procedural person with ground truth, from a phone or calibrated cameras."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import arg

from avatar.cli.progress import printed
from avatar.common.frame_rate import MAX_FPS
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import SEED, OptionalText, Out
from avatar.jobs.parsing import parse_size

_LARGEST_SIDE = 8192  # pixels
#: Options that an avatar has too, and those that SyntheticOptions does not have by this name.
_OF_AVATAR = ("out", "avatar", "person", "glasses", "seed", "overwrite")
_NOT_SHARED = ("out", "avatar", "person", "overwrite", "size")


@dataclass(frozen=True)
class SynthCommand:
    """Render footage of a procedural person: a phone video or images of calibrated cameras, with ground truth."""

    out: Annotated[Out, arg(metavar="DIR")]
    """folder to write: video.mp4 or transforms.json with images and masks, and truth.npz; with --avatar the .avatar
    file"""
    avatar: bool = False
    """write the avatar of the person instead, as -o FILE.avatar; options of the footage do not apply"""
    person: OptionalText = None
    """noor, kofi, ines, vera (glasses, longer hair, a collar), or random: the person that --seed draws; default: noor,
    with --avatar random"""
    glasses: bool = False
    """add glasses to a person without them"""
    performance: str = "demo"
    """demo, sweep (every expression up and down, then head turns; needs 480 frames or more), talk, or orbit (the phone
    is carried around a person who sits still)"""
    held_out: bool = False
    """full expressions and wide turns only in the last fifth, for captures with --test-fraction 0.2"""
    yaw: Annotated[float, Between(0, 90)] = 35.0
    """largest head yaw in degrees"""
    cameras: Annotated[int, Between(1, 32)] = 1
    """1: a hand-held phone; more: fixed calibrated cameras around the head"""
    arc: Annotated[float, Between(0, 170, above=True)] = 35.0
    """angle in degrees from the front to the outermost of several cameras"""
    frames: Annotated[int, Between(1, 100_000)] = 240
    """time steps; every camera records each one"""
    fps: Annotated[float, Between(0.01, MAX_FPS)] = 30.0
    """time steps per second"""
    size: str = "540x720"
    """image size in pixels, even numbers"""
    focal: Annotated[float, Between(0.2, 20)] = 1.35
    """focal length of the phone relative to the image width; that of calibrated cameras is scaled by the same factor"""
    noise: Annotated[float, Between(0, 1)] = 0.009
    """sensor noise, standard deviation at mid-gray, 0..1"""
    crf: Annotated[int, Between(0, 51)] = 18
    """quality of the phone's video (H.264): smaller is better and larger on disk"""
    exposure_drift: Annotated[float, Between(0, 0.9)] = 0.04
    """largest relative change of the exposure"""
    handheld: Annotated[float, Between(0, 10)] = 1.0
    """camera shake: 0 is a tripod, 1 a hand-held phone; calibrated cameras do not move"""
    light: str = "room"
    """light of the room: room, left or right (a strong light from one side of the image), below, or albedo: no light,
    everything in its own color"""
    seed: Annotated[int, SEED] = 7
    """seed of the background, the noise and the timing, and of a random person"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Render and write; returns the exit code."""
        if self.avatar:
            return self._write_avatar()
        from avatar.jobs.synthesis import SyntheticOptions, synthesize

        options = SyntheticOptions(**self._options())
        with printed() as notify:
            synthesize(self.out, options, overwrite=self.overwrite, notify=notify)
        print(self.out)
        return 0

    def _write_avatar(self) -> int:
        """Train an avatar of the person on images with the true poses, and write it."""
        given = [field.name for field in dataclasses.fields(self) if getattr(self, field.name) != field.default]
        if footage := [name for name in given if name not in _OF_AVATAR]:
            option = "--" + footage[0].replace("_", "-")
            raise HeadsplatError(f"synth: {option} is an option of the footage; leave it out with --avatar")
        from avatar.jobs.synthesis import synthesize_avatar

        person = self.person or "random"
        with printed() as notify:
            avatar = synthesize_avatar(
                self.out, person, glasses=self.glasses, seed=self.seed, overwrite=self.overwrite, notify=notify
            )
        print(f"{self.out}: {len(avatar)} Gaussians, person {person}, seed {self.seed}")
        return 0

    def _options(self) -> dict[str, Any]:
        """The arguments of SyntheticOptions."""
        width, height = parse_size(self.size, _LARGEST_SIDE)
        shared = {name: value for name, value in vars(self).items() if name not in _NOT_SHARED}
        return {**shared, "person": self.person or "noor", "width": width, "height": height}
