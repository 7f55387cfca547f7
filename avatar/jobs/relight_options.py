"""The options of another light on an avatar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import OptionalText

if TYPE_CHECKING:
    from avatar.model.parts.light.relight import Relighting


@dataclass(frozen=True)
class RelightOptions:
    """another light on the avatar"""

    relight: Annotated[OptionalText, arg(metavar="NAME|FILE")] = None
    """studio, window-left, window-right, sunset, overcast, underlight, rim, white, or an equirectangular environment
    map (.hdr, .exr, .png, .jpg); the light stays in the world while the head turns"""
    relight_turn: Annotated[float, Between(-360, 360)] = 0.0
    """degrees by which that light is turned about the vertical; 90: what lit the front comes from the right of the
    image"""
    relight_strength: Annotated[float, Between(0, 1)] = 1.0
    """0: the light of the clip, 1: the other light"""

    def relighting(self) -> Relighting | None:
        """The light of the options; None without one. Reads the file of a map.

        Raises:
            HeadsplatError: an unknown name, a map that cannot be used, or the other options without a light.
        """
        if self.relight is None:
            if (self.relight_turn, self.relight_strength) != (0.0, 1.0):
                raise HeadsplatError("--relight-turn and --relight-strength change a light; give --relight NAME, too")
            return None
        from avatar.model.parts.light.lights import light_named
        from avatar.model.parts.light.relight import Relighting

        return Relighting(light_named(self.relight), self.relight_turn, self.relight_strength)

    @property
    def path(self) -> str | None:
        """The file of an environment map; None for a preset."""
        if self.relight is None:
            return None
        from avatar.model.parts.light.lights import PRESETS

        return None if self.relight in PRESETS else self.relight
