"""Views of a folder of several cameras: images, cameras and time steps, independent of the layout.

Cameras follow avatar.types: world_to_cam in OpenCV axes (x right, y down, z forward), pixel centers at +0.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.errors import HeadsplatError
from capture.video.decoding import SourceFrame, open_video

#: Layout of a walk with one camera around a person who sits still: each view is a camera, all are of one time step.
ORBIT = "orbit"


@dataclass(frozen=True)
class View:
    """One image with its camera and time."""

    image: Path  # an image file, or the video it is a frame of
    frame: int | None  # number of the frame in the video; None for an image file
    camera: int  # index into ViewSet.cameras
    time_step: int  # shared by simultaneous views
    time: float  # seconds
    K: np.ndarray | None  # [3,3] pixels of the image; None if not stated
    world_to_cam: np.ndarray | None  # [4,4] in the layout's unit of length; None if not known
    size: tuple[int, int]  # (width, height) pixels
    mask: Path | None = None  # a matte: its alpha channel, otherwise its gray values
    is_test: bool | None = None  # None: the layout states no split
    head_motion: np.ndarray | None = None  # [4,4] motion of the head, where the layout has it
    flame: Path | None = None  # FLAME parameters at the time step


@dataclass(frozen=True)
class ViewSet:
    """Images of one person by several cameras."""

    root: Path
    layout: str  # "nerf", "vhap", "insta", "metrical-tracker", "imavatar", "videos" or ORBIT
    cameras: tuple[str, ...]  # names
    views: tuple[View, ...]  # by time step, then by camera
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.views)

    @property
    def time_steps(self) -> np.ndarray:
        """The time steps [n] int, increasing."""
        return np.unique([view.time_step for view in self.views])

    @property
    def has_split(self) -> bool:
        """Whether the layout states which views are held out, and holds some out."""
        return any(view.is_test for view in self.views)

    @property
    def still(self) -> bool:
        """Whether all views show one time step: nothing moves, and each is a camera."""
        return self.layout == ORBIT

    @property
    def calibrated(self) -> bool:
        """Whether pose and intrinsics of every view are known."""
        return all(view.K is not None and view.world_to_cam is not None for view in self.views)

    def camera_index(self, name: str) -> int:
        """Index of the camera with that name or index; raises HeadsplatError if there is none."""
        if name in self.cameras:
            return self.cameras.index(name)
        if name.isdigit() and int(name) < len(self.cameras):
            return int(name)
        raise HeadsplatError(f"{self.root}: no camera {name!r}; there are {', '.join(self.cameras)}")


def read_images(views: Sequence[View]) -> Iterator[tuple[View, SourceFrame]]:
    """Views of one camera, or of one video, with their images, in order of time; frames are numbered as they come.

    Raises:
        HeadsplatError: an image is missing, damaged or of another size than stated.
    """
    ordered = sorted(views, key=lambda view: (view.time_step, view.time))
    if ordered and ordered[0].frame is not None:
        yield from _video_frames(ordered)
        return
    for number, view in enumerate(ordered):
        image = read_image(view.image, cv2.IMREAD_COLOR)
        if image is None:
            raise HeadsplatError(f"{view.image}: missing or damaged image; export the folder again")
        check_size(view, image)
        yield view, SourceFrame(number, view.time, np.ascontiguousarray(image[..., ::-1]))


def read_mask(view: View) -> np.ndarray:
    """The view's matte [H,W] uint8; raises HeadsplatError if it is missing, damaged or of another size."""
    assert view.mask is not None
    image = read_image(view.mask, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise HeadsplatError(f"{view.mask}: missing or damaged mask; export the folder again")
    check_size(replace(view, image=view.mask), image)
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if image.ndim == 3:
        image = image[..., 3] if image.shape[2] == 4 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return np.asarray(image)


def check_size(view: View, image: np.ndarray) -> None:
    """Raise HeadsplatError unless the image [H,W,...] has the size of the view."""
    size = (image.shape[1], image.shape[0])
    if size != view.size:
        raise HeadsplatError(
            f"{view.image}: {size[0]}x{size[1]} pixels, the camera is stated for {view.size[0]}x{view.size[1]}; "
            "export images of the size of the cameras"
        )


def _video_frames(views: Sequence[View]) -> Iterator[tuple[View, SourceFrame]]:
    by_frame = {view.frame: view for view in views}
    count = 0
    for frame in open_video(views[0].image).frames(sorted(number for number in by_frame if number is not None)):
        view = by_frame.get(frame.number)
        if view is not None:
            yield view, SourceFrame(count, view.time, frame.rgb)
            count += 1
    if count < len(by_frame):
        raise HeadsplatError(
            f"{views[0].image}: the video ends after {count} of {len(by_frame)} frames; record or copy it again"
        )
