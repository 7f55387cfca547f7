"""Paint and layers of the avatar in the window, with undo: a list of edits, each applied to the unchanged avatar."""

from __future__ import annotations

import itertools
from concurrent.futures import Executor, Future, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avatar.driving.live.samples import AvatarPose
from avatar.editing.decals import Canvas
from avatar.editing.edit import edited_extras
from avatar.editing.edits import Editor, Edits
from avatar.editing.layers import LAYERS, layers_of
from avatar.editing.style import Style, combined, read_style
from avatar.editing.surface_map import SIZE
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import read_avatar, save_avatar
from avatar.model.parts.appearance import with_appearance
from avatar.model.poser import Poser
from avatar.types import Camera
from viewer.session.mix import Mix
from viewer.session.state import Brush, Editing
from viewer.session.surface import SurfaceFinder

MAX_UNDO = 64  # states of the edits that are kept
_SPACING = 0.4  # radii of the brush between two stamps of a stroke
_MAX_STAMPS = 64  # between two places of the mouse


class Painting:
    """The edits of one avatar and what has been undone; the avatar changes with the mix of its recordings only."""

    def __init__(self, avatar: Avatar, path: Path) -> None:
        """Args: the avatar as it was opened, and its file."""
        self._opened = self.current = avatar  # as in its file
        #: What is edited: one look of an avatar with several, which an edited file does not keep.
        self.original = avatar if (looks := Mix.of(avatar)).chosen is None else with_appearance(avatar, looks.by_name())
        self._path = path
        self._editor = Editor(self.original)
        self._style = Style()
        self._done: list[Style] = []
        self._undone: list[Style] = []
        self._layers: tuple[int, ...] = ()
        self._last: tuple[float, float] | None = None  # place of the mouse in a stroke
        self._poser = Poser(avatar)
        self._preparing: Future[None] | None = None

    @property
    def style(self) -> Style:
        """The edits at present."""
        return self._style

    def editing(self, before: Editing) -> Editing:
        """The state for panels, with the brush of `before`."""
        return replace(
            before, hidden=self._style.hide, undo=len(self._done), redo=len(self._undone), layers=self._layers
        )

    def prepare(self, worker: Executor) -> None:
        """Compute on another thread what the first stroke needs, which then waits for it."""
        if self._preparing is None:
            self._preparing = worker.submit(self._editor.prepare)

    def _wait(self) -> None:
        """Wait for `prepare`; raises HeadsplatError as `Editor.prepare`."""
        if self._preparing is not None:
            self._preparing.result()

    def stroke(self, brush: Brush, at: tuple[float, float], camera: Camera, pose: AvatarPose, first: bool) -> None:
        """Stamp the brush on the surface under a point of the image, and under the way from the point before.

        Args:
            brush: its color, size, opacity and hardness.
            at: place in the image, 0..1 from its upper left corner.
            camera: [1] of the image.
            pose: of the avatar in the image.
            first: whether this is the start of a stroke, which undo takes back as a whole.
        """
        start = first or self._last is None
        begin = at if start or self._last is None else self._last
        width = brush.radius / 1000 * float(camera.K[0, 0, 0]) / self._distance(camera, pose) / camera.width
        step = float(np.hypot(at[0] - begin[0], at[1] - begin[1]))
        count = 1 if start else min(int(np.ceil(step / max(_SPACING * width, 1e-4))), _MAX_STAMPS)
        self._wait()
        paint = None
        places = self._editor.places
        finder = SurfaceFinder(self._poser, camera, pose)
        for index in range(1, count + 1):
            point = tuple(b + (a - b) * index / count for a, b in zip(at, begin, strict=True))
            hit = finder.point((point[0], point[1]))
            if hit is not None and places.paintable[hit[0]]:
                paint = _copy(self._style.paint) if paint is None else paint
                places.stamp(paint, *hit, brush.color, brush.radius, brush.opacity, brush.hardness)
        self._last = at
        if paint is not None:
            self._set(replace(self._style, paint=paint), remember=start)
            self._last = at

    def hide(self, layer: str, hidden: bool) -> None:
        """Hide or show a layer; raises HeadsplatError where the avatar has none, or nothing would be left."""
        hidden_layers = set(self._style.hide) | {layer} if hidden else set(self._style.hide) - {layer}
        self._set(replace(self._style, hide=tuple(name for name in LAYERS if name in hidden_layers)))

    def add_style(self, source: str) -> None:
        """Add the edits of a preset or a file. Raises HeadsplatError as `read_style`."""
        self._set(combined(self._style, read_style(source)))

    def rebase(self, avatar: Avatar) -> None:
        """Edit another appearance of the same avatar from now on; the edits stay.

        Raises:
            HeadsplatError: they cannot be applied to it; the one before stays.
        """
        before = self.original, self._editor
        if self._preparing is not None:
            wait([self._preparing])
            self._preparing = None
        self.original, self._editor = avatar, self._editor.of(avatar)
        try:
            self.current = self._avatar(self._style)
        except HeadsplatError:
            self.original, self._editor = before
            raise
        self._layers = ()

    def undo(self) -> None:
        """Take the last edit back; raises HeadsplatError where there is none."""
        self._step(self._done, self._undone, "undo")

    def redo(self) -> None:
        """Repeat the edit that was taken back last; raises HeadsplatError where there is none."""
        self._step(self._undone, self._done, "redo")

    def save(self, folder: Path) -> Path:
        """Write the avatar with the edits as a new file in `folder`; returns its path.

        Raises:
            HeadsplatError: nothing is edited, or the file of the avatar is gone or another one.
        """
        if not self._style.content() and self._style.paint is None:
            raise HeadsplatError("nothing is edited; paint, hide a layer or add a style first")
        header, stored = read_avatar(self._path)
        if not torch.equal(stored.offsets, self._opened.offsets.cpu()):
            raise HeadsplatError(f"{self._path}: the file has changed since it was opened; open it again")
        names = (folder / f"{self._path.stem}_edit_{number}.avatar" for number in itertools.count(1))
        path = next(path for path in names if not path.exists())
        save_avatar(path, self.current, edited_extras(header, self.original))
        return path

    def find_layers(self) -> None:
        """Count the Gaussians of each layer, for the check boxes."""
        if not self._layers:
            layers = layers_of(self.original)
            self._layers = tuple(int((layers == index).sum()) for index in range(len(LAYERS)))

    def _distance(self, camera: Camera, pose: AvatarPose) -> float:
        """Meters from the camera to the head."""
        with torch.no_grad():
            _, translation = self.original.head.skull_pose(self.original.with_identity(pose.params))
        return max(float(camera.to_camera(translation[0])[2]), 0.05)

    def _set(self, style: Style, remember: bool = True) -> None:
        """Make `style` the present one; where it cannot be applied, the one before stays."""
        self.current = self._avatar(style)
        if remember:
            self._done = [*self._done, self._style][-MAX_UNDO:]
        self._style = style
        self._undone = []
        self._last = None

    def _step(self, source: list[Style], target: list[Style], name: str) -> None:
        if not source:
            raise HeadsplatError(f"nothing to {name}")
        self.current = self._avatar(source[-1])
        target.append(self._style)
        self._style = source.pop()
        self._last = None

    def _avatar(self, style: Style) -> Avatar:
        """The avatar with a style; the original itself without any edit."""
        edits = Edits(style)
        return self._editor.edited(edits) if edits.content() else self.original


def _copy(canvas: Canvas | None) -> Canvas:
    """A copy of a canvas, or an empty one."""
    return np.zeros((SIZE, SIZE, 4), np.uint8) if canvas is None else canvas.copy()
