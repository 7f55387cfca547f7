"""`headsplat edit`: an avatar with other colors, paint, hidden layers, hair or glasses of another one, or a style."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import say
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import INTEROCULAR, OptionalFloat, OptionalPath, OptionalText, Out
from avatar.jobs.outputs import Output, reserved

if TYPE_CHECKING:
    from avatar.editing.edits import Edits
    from avatar.model.avatar import Avatar
    from avatar.model.true_size import TrueSize

HairColor = Annotated[str | None, arg(metavar="NAME|R,G,B")]
StyleName = Annotated[str | None, arg(metavar="NAME|FILE")]
Layers = Annotated[str | None, arg(metavar="NAME,...")]
Lender = Annotated[Path | None, arg(metavar="OTHER.avatar")]


@dataclass(frozen=True)
class EditCommand:
    """Change an avatar: colors, paint, layers, hair or glasses of another one, styles; everything else stays."""

    avatar: Annotated[Positional[Path], arg(metavar="ME.avatar")]
    """the avatar file to change a copy of"""
    out: Out
    """the .avatar file to write; with --uv-template the .png file to paint on"""
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
    """how much of these changes of color"""
    paint: OptionalPath = None
    """a square PNG with transparency in the UV layout of the head: its marks are painted on the skin"""
    uv_template: bool = False
    """write the UV layout of the avatar in its colors instead, to be painted on in a layer of its own"""
    hide: Layers = None
    """layers to leave out: skin, brows, hair, glasses, clothes"""
    hair_from: Lender = None
    """take the hair of another avatar of the same head model"""
    glasses_from: Lender = None
    """take the glasses of another avatar of the same head model"""
    style: StyleName = None
    """film-noir, freckles, lipstick, makeup, pale, tan, or a .style.json file"""
    style_out: OptionalPath = None
    """also write the colors, hidden layers, marks and paint given here as a .style.json file"""
    interocular: Annotated[OptionalFloat, INTEROCULAR] = None
    """the true distance between the pupils when they look far away (interpupillary distance), in millimeters: gives
    exports and measured lengths their true size, and changes no image"""
    length: Annotated[OptionalText, arg(metavar="NAME=MM")] = None
    """another known length instead: interpupillary, inner-eye-corners, outer-eye-corners, nose-width, mouth-width,
    face-width, face-height, head-width, or two landmarks of MediaPipe, such as 33,263=92"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Write the avatar; returns the exit code."""
        from avatar.editing.edit import edited_extras, left_out
        from avatar.editing.edits import with_edits
        from avatar.editing.style import write_style
        from avatar.model.avatar_file import read_avatar, save_avatar

        if self.uv_template:
            return self._template()
        edits = self._edits()
        if self.interocular is not None and self.length is not None:
            raise HeadsplatError("--length: gives the size of the head, as --interocular does; leave one of them out")
        outputs = [Output(self.out, suffixes=(".avatar",))]
        if self.style_out is not None:
            outputs.append(Output(self.style_out, "--style-out", suffixes=(".json",)))
        inputs = (self.avatar, self.paint, self.hair_from, self.glasses_from, self.style)
        with reserved(outputs, inputs, overwrite=self.overwrite):
            header, avatar = read_avatar(self.avatar)
            result = with_edits(avatar, edits) if edits.content() else avatar
            sized = self._size(avatar)
            result.true_size = sized or result.true_size
            extras = edited_extras(header, avatar)
            others = (lender.consent for lender in edits.lenders)
            extras["consent"] = " ".join(dict.fromkeys(text for text in (extras["consent"], *others) if text))
            save_avatar(self.out, result, extras)
            if self.style_out is not None:
                write_style(self.style_out, edits.style)
        content = edits.content()
        shown = {**content.pop("edit", {}), **content, **({"style": self.style} if self.style else {})}
        if self.style is not None:
            shown.pop("marks", None)
        changes = [f"{name} {_text(value)}" for name, value in shown.items()]
        changes += [] if sized is None else [f"the true size ({sized.source}; {sized.scale:.4g} times as large)"]
        print(f"{self.out}: {self.avatar} with " + ", ".join(changes))
        for sentence in left_out(avatar) if edits.content() else ():
            say(f"{self.out}: {sentence}")
        return 0

    def _size(self, avatar: Avatar) -> TrueSize | None:
        """The size that the options state; None without any."""
        from avatar.model.head_lengths import HeadLengths, size_from_interocular, size_from_length

        if self.interocular is not None:
            return size_from_interocular(HeadLengths.of(avatar.head), self.interocular)
        return None if self.length is None else size_from_length(HeadLengths.of(avatar.head), self.length)

    def _edits(self) -> Edits:
        """All that the options ask for; raises HeadsplatError where that is nothing, or a file is wrong."""
        from avatar.editing.edit import Edit
        from avatar.editing.edits import Edits, Lender
        from avatar.editing.layers import parse_layers
        from avatar.editing.paint_file import read_canvas
        from avatar.editing.style import Style, combined, read_style
        from avatar.model.avatar_file import read_avatar

        edit = Edit(self.hair, self.brows, self.eyes, self.skin, self.beard, self.amount)
        given = (
            self.paint, self.hide, self.hair_from, self.glasses_from, self.style, self.interocular, self.length,
        )  # fmt: skip
        if len(edit.changes()) < 2 and all(value is None for value in given):
            raise HeadsplatError(
                "edit: nothing to change; give --hair, --brows, --eyes, --skin, --beard, --paint, --hide, --hair-from, "
                "--glasses-from, --style, --interocular or --length"
            )
        hide = () if self.hide is None else parse_layers(self.hide)
        style = Style(edit, hide, paint=None if self.paint is None else read_canvas(self.paint))
        if self.style is not None:
            style = combined(read_style(self.style), style)
        lenders = []
        for layer, path in (("hair", self.hair_from), ("glasses", self.glasses_from)):
            if path is not None:
                header, other = read_avatar(path)
                lenders.append(Lender(layer, other, path.name, str(header.get("consent", ""))))
        return Edits(style, tuple(lenders))

    def _template(self) -> int:
        """Write the UV layout as a PNG; returns the exit code."""
        import cv2
        import numpy as np

        from avatar.common.files import atomic_path
        from avatar.common.image_io import write_image
        from avatar.editing.surface_map import SIZE, SurfaceMap
        from avatar.export.texture import texture
        from avatar.model.avatar_file import load_avatar

        with reserved([Output(self.out, suffixes=(".png",))], (self.avatar,), overwrite=self.overwrite):
            avatar = load_avatar(self.avatar)
            SurfaceMap.of(avatar.head, 64)
            image = np.rint(texture(avatar, SIZE).clamp(0, 1).numpy() * 255).astype(np.uint8)
            with atomic_path(self.out) as part:
                write_image(part, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        print(
            f"{self.out}: paint over it in a layer of its own, and give that layer, a PNG with transparency, to --paint"
        )
        return 0


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
