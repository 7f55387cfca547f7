"""What panels return: edits of the state and actions, which the session executes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avatar.motion.presets import FacePreset
from viewer.render.view_settings import ViewSettings
from viewer.session.state import CameraSettings, Editing, Measuring, Panels, Sliders, Timeline

Action = Literal[
    "calibrate",  # take the performer's next resting face as the neutral
    "choose file",  # open the system's file dialog
    "close",
    "learn person",  # another person is in front of the camera
    "find layers",  # count their Gaussians
    "record",  # start or stop recording
    "redo",
    "restart source",  # start the active live source again
    "save avatar",  # with its edits, as a new file
    "save view",
    "snapshot",  # write the image to a file
    "undo",
    "virtual camera",  # start or stop
]


@dataclass(frozen=True)
class Change:
    """Replaces a part of the state."""

    part: Literal["camera", "view", "sliders", "timeline", "panels", "editing", "measuring"]  # field of State
    value: CameraSettings | ViewSettings | Sliders | Timeline | Panels | Editing | Measuring
    smooth: bool = False  # whether the face moves there smoothly


@dataclass(frozen=True)
class Do:
    """Executes an action once."""

    action: Action


@dataclass(frozen=True)
class SelectSource:
    """Makes a pose source the active one."""

    key: str  # of a SourceChoice


@dataclass(frozen=True)
class OpenFile:
    """Opens an avatar, a motion or a saved view."""

    path: Path


@dataclass(frozen=True)
class RemoveView:
    """Removes a saved view from the list."""

    index: int


@dataclass(frozen=True)
class SetGain:
    """Sets the expression strength of a group for the active live source."""

    group: str
    factor: float


@dataclass(frozen=True)
class Paint:
    """Stamps the brush on the surface of the head under a place of the image."""

    at: tuple[float, float]  # 0..1 from the upper left corner of the image as rendered
    first: bool  # of its stroke


@dataclass(frozen=True)
class Measure:
    """Sets one of the two places between which is measured."""

    at: tuple[float, float]  # 0..1 from the upper left corner of the image as rendered


@dataclass(frozen=True)
class HideLayer:
    """Hides or shows a layer."""

    layer: str
    hidden: bool


@dataclass(frozen=True)
class AddStyle:
    """Adds the edits of a preset or a file."""

    source: str


@dataclass(frozen=True)
class SetAppearance:
    """Shows an avatar of several recordings in the look of one of them, or in a mix."""

    weights: Mapping[str, float]  # by name of the recording, 0..1; normalized to the sum 1


@dataclass(frozen=True)
class SavePreset:
    """Saves the pose of the sliders by a name, in the file of the avatar's presets; one of that name is replaced."""

    name: str
    as_units: bool = False  # as the action units that are read from it


@dataclass(frozen=True)
class RemovePreset:
    """Removes a preset from the file of the avatar's presets."""

    name: str


@dataclass(frozen=True)
class ShowPreset:
    """Moves the sliders to the pose of one of the avatar's presets."""

    preset: FacePreset


Edit = (
    Change
    | Do
    | SelectSource
    | OpenFile
    | RemoveView
    | SetGain
    | Paint
    | Measure
    | HideLayer
    | AddStyle
    | SetAppearance
    | SavePreset
    | RemovePreset
    | ShowPreset
)
