"""`headsplat blend`: an avatar between two people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from avatar.cli.progress import say
from avatar.common.ranges import Between
from avatar.jobs.option_types import Out
from avatar.jobs.outputs import Output, reserved


@dataclass(frozen=True)
class BlendCommand:
    """Write an avatar between two people, driven as any other."""

    first: Annotated[Positional[Path], arg(metavar="A.avatar")]
    """an avatar file"""
    second: Annotated[Positional[Path], arg(metavar="B.avatar")]
    """another one, with the same head model and preset"""
    out: Out
    """the .avatar file to write"""
    at: Annotated[float, Between(0, 1)] = 0.5
    """0: the first person, 1: the second one"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Write the avatar; returns the exit code."""
        from avatar.editing.blend import blend_avatars, blended_extras, left_out
        from avatar.model.avatar_file import read_avatar, save_avatar

        output = Output(self.out, suffixes=(".avatar",))
        with reserved([output], (self.first, self.second), overwrite=self.overwrite):
            (header, a), (other, b) = read_avatar(self.first), read_avatar(self.second)
            mixed = blend_avatars(a, b, self.at)
            extras: dict[str, Any] = blended_extras(header, other, self.at)
            save_avatar(self.out, mixed, extras)
        print(f"{self.out}: {len(mixed)} Gaussians, {self.at:g} of the way from {self.first} to {self.second}")
        for sentence in left_out(a, b, self.at):
            say(f"{self.out}: {sentence}")
        return 0
