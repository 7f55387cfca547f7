"""`headsplat edit`: an avatar with other colors of hair, brows, eyes and skin, or a beard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import Between, Out
from avatar.cli.outputs import Output, reserved
from avatar.errors import HeadsplatError

HairColor = Annotated[str | None, arg(metavar="NAME|R,G,B")]


@dataclass(frozen=True)
class EditCommand:
    """Change named attributes of an avatar; everything else stays as it is."""

    avatar: Annotated[Positional[Path], arg(metavar="ME.avatar")]
    """the avatar file to change a copy of"""
    out: Out
    """the .avatar file to write"""
    hair: HairColor = None
    """black, brown, dark-blond, blond, red, gray, white, or the mean color of the hair as it is seen, 0 to 255"""
    brows: HairColor = None
    """color of the brows, as --hair"""
    eyes: HairColor = None
    """color of the irises: brown, blue, green, gray, or R,G,B"""
    skin: Annotated[float, Between(-1, 1)] = 0.0
    """darker skin (above 0) or lighter skin (below 0); 1 is the whole range from the lightest to the darkest"""
    beard: Annotated[float, Between(0, 1)] = 0.0
    """a short beard in the color of the hair: .3 stubble, 1 full"""
    amount: Annotated[float, Between(0, 1)] = 1.0
    """how much of all these changes"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Write the avatar; returns the exit code."""
        from avatar.model.avatar_file import read_avatar, save_avatar
        from avatar.model.edit import Edit, edited, edited_extras

        edit = Edit(self.hair, self.brows, self.eyes, self.skin, self.beard, self.amount)
        changes = edit.changes()
        if len(changes) < 2:
            raise HeadsplatError("edit: nothing to change; give --hair, --brows, --eyes, --skin or --beard")
        with reserved([Output(self.out, suffixes=(".avatar",))], (self.avatar,), overwrite=self.overwrite):
            header, avatar = read_avatar(self.avatar)
            save_avatar(self.out, edited(avatar, edit), edited_extras(header, avatar))
        print(f"{self.out}: {self.avatar} with " + ", ".join(f"{name} {value}" for name, value in changes.items()))
        return 0
