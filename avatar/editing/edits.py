"""All edits of an avatar together: colors, layers, paint, style; each call starts from the unchanged avatar."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from avatar.editing.brush import PaintSurface
from avatar.editing.decals import Canvas, Painter
from avatar.editing.edit import editable_parts, edited
from avatar.editing.layers import with_layer_from, without_layers
from avatar.editing.paint_file import over
from avatar.editing.style import Mark, Style, grayed
from avatar.editing.surface_map import SurfaceMap
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.gaussian_set import with_edit


@dataclass(frozen=True, eq=False)
class Lender:
    """Another avatar that lends hair or glasses."""

    layer: str  # "hair" or "glasses"
    avatar: Avatar
    name: str  # of its file, for the provenance
    consent: str = ""


@dataclass(frozen=True)
class Edits:
    """What to change; the defaults change nothing."""

    style: Style = field(default_factory=Style)
    lenders: tuple[Lender, ...] = ()

    def content(self) -> dict[str, Any]:
        """As plain JSON values, without the paint itself."""
        found = self.style.content()
        if self.style.paint is not None:
            found["paint"] = int((self.style.paint[..., 3] > 0).sum())
        return found | {f"{lender.layer}_from": lender.name for lender in self.lenders}


def with_edits(avatar: Avatar, edits: Edits) -> Avatar:
    """A copy of `avatar` with all `edits`: colors, hair and glasses of others, hidden layers, paint, gray.

    Its provenance has one more entry in the list `edits`.

    Raises:
        HeadsplatError: nothing is changed, or the avatar has no such region, layer or texture coordinates.
    """
    return Editor(avatar).edited(edits)


class Editor:
    """Edits one avatar again and again; what stays from the edits before is not computed again."""

    def __init__(self, avatar: Avatar) -> None:
        """Args: the avatar, which never changes."""
        self.avatar = avatar.view(parts=editable_parts(avatar))
        self._base: tuple[Style, tuple[Lender, ...], Avatar] = Style(), (), self.avatar
        self._painter: Painter | None = None  # of the base
        self._places: PaintSurface | None = None
        self._marks: tuple[tuple[Mark, ...], Canvas | None] = (), None

    def of(self, avatar: Avatar) -> Editor:
        """An editor of another appearance of the same avatar, whose head is at rest where this one is."""
        other = Editor(avatar)
        other._places = self._places
        other._marks = self._marks
        return other

    @property
    def places(self) -> PaintSurface:
        """The surface of the head. Raises HeadsplatError where it has no texture coordinates."""
        if self._places is None:
            self._places = PaintSurface(self.avatar, SurfaceMap.of(self.avatar.head))
        return self._places

    def prepare(self) -> None:
        """Compute now what the first stroke of a brush needs. Raises HeadsplatError as `places`."""
        if self._painter is None:
            self._painter = Painter(self._base[2], self.places.surface)

    def edited(self, edits: Edits) -> Avatar:
        """See `with_edits`."""
        content = edits.content()
        style = edits.style
        if not content:
            raise HeadsplatError("edit: nothing to change; give a color, a layer, a style or paint")
        base = self._with_base(edits)
        result = self._painted(base, style)
        if result is base or style.gray:
            result = copy.deepcopy(result)
        if style.gray:
            result = grayed(result, style.gray)
        result.provenance = self.avatar.provenance
        # The attributes of colors are at the top of an entry, as in files from before there were others.
        return with_edit(result, {**content.pop("edit", {}), **content})

    def _with_base(self, edits: Edits) -> Avatar:
        """The avatar with all edits below the paint."""
        style = Style(edits.style.edit, edits.style.hide)
        if (style, edits.lenders) != self._base[:2]:
            result = self.avatar
            if len(style.edit.changes()) > 1:
                result = edited(result, style.edit)
            for lender in edits.lenders:
                result = with_layer_from(result, lender.avatar, lender.layer)
            if style.hide:
                result = without_layers(result, style.hide)
            self._base = (style, edits.lenders, result)
            self._painter = None
        return self._base[2]

    def _painted(self, base: Avatar, style: Style) -> Avatar:
        """`base` with the marks and the paint of a style."""
        if not style.marks and style.paint is None:
            return base
        if self._marks[0] != style.marks:
            canvas = None
            for mark in style.marks:
                canvas = over(canvas, self.places.mark(mark))
            self._marks = style.marks, canvas
        canvas = self._marks[1]
        if style.paint is not None:
            canvas = over(canvas, style.paint)
        assert canvas is not None
        if not (canvas[..., 3] * self.places.shown).any():
            raise HeadsplatError("paint: no face of the head is painted; paint where the UV template shows the head")
        if self._painter is None:
            self._painter = Painter(base, self.places.surface)
        return self._painter.painted(canvas)
