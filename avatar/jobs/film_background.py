"""A film as the background: the avatar in the poses of its person there, with another motion or voice (dubbing)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatar.common.jsonable import counted
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.dubbing.composite import composite
from avatar.dubbing.motion_field import MotionFields
from avatar.dubbing.parts import Part, vertex_weights, with_part
from avatar.errors import HeadsplatError
from avatar.jobs.capturing import track_video
from avatar.jobs.driven_motion import DrivenAvatar, DrivingSource
from avatar.jobs.motion_options import MotionOptions
from avatar.jobs.notices import Notices
from avatar.model.avatar_header import read_header
from avatar.model.poser import Poser
from avatar.motion.edit import Interpolation
from avatar.motion.from_capture import first_rows
from avatar.rendering.settings import MAX_SIDE, Background, RenderSettings
from avatar.types import Camera, HeadParams, TorsoPose
from avatar.video.offline_render import RenderColumn, render_frames
from capture.options import CaptureOptions
from capture.sources import source_digest
from capture.stages.workers import ahead
from capture.video.decoding import VideoSource, open_video

if TYPE_CHECKING:
    from avatar.model.avatar import Avatar

#: Seconds in which the replaced part fades out at the end of a motion, and beside frames without a face.
_FADE = 0.3
_FADE_LOST = 0.1
#: Times of frames that differ by less (seconds) from a constant rate have it.
_CONSTANT = 0.002
_CHUNK = 64


@dataclass(frozen=True)
class FilmFrames:
    """The frames of a film: size, times, and where the stored window of a capture lies in each."""

    video: VideoSource  # upright, as the capture turned it
    turned: int  # degrees counter-clockwise by which the frames were turned, more than the file states
    times: np.ndarray  # [F] seconds since the first frame
    rows: np.ndarray  # [F] position among the rows of the capture, a fraction where rows are apart; NaN: no face
    corners: np.ndarray  # [F,2] int64, upper left corner of the window in the film
    size: tuple[int, int]  # (width, height) of the window in the film
    camera: Camera  # [F] of the window, at the film's own resolution

    @staticmethod
    def of(video: VideoSource, capture: Capture, rows: np.ndarray) -> FilmFrames:
        """The frames of `video` by its capture.

        Args:
            video: the film.
            capture: of one camera, of this film.
            rows: [R] of the capture, in the order of time.
        """
        metadata = capture.metadata
        turned = int(metadata["source"].get("turned", 0))
        video = video.counted()
        if turned:
            video = video.with_turn(turned)
        count = max(len(video), int(capture.track["frame_number"][rows].max()) + 1)
        index = video.index
        times = index.times if index is not None and len(index) == count else np.arange(count) / video.fps
        known = capture.track["frame_number"][rows]
        positions = positions_of(known, count, metadata.get("lost", ()))
        crop = metadata.get("crop") or {}
        size = int(crop.get("width", video.width)), int(crop.get("height", video.height))
        scales = np.array([metadata["width"], metadata["height"]]) / size
        whole = size == (video.width, video.height)
        middle = np.array([video.width, video.height]) / 2
        centers = capture.track["principal_point"][rows] / scales
        at = np.nan_to_num(positions)
        own = np.stack([np.interp(at, np.arange(len(rows)), centers[:, axis]) for axis in (0, 1)], 1)
        corners = np.zeros((count, 2), np.int64) if whole else np.rint(middle - own).astype(np.int64)
        K = torch.tensor(metadata["cameras"][0]["K"], dtype=torch.float64)
        K = (K * torch.tensor([*(1 / scales), 1.0])[:, None]).float().repeat(count, 1, 1)
        K[:, :2, 2] = torch.from_numpy(own if whole else middle - corners).float()
        pose = torch.tensor(metadata["cameras"][0]["world_to_cam"], dtype=torch.float32).repeat(count, 1, 1)
        return FilmFrames(video, turned, times, positions, corners, size, Camera(K, pose, *size))

    def __len__(self) -> int:
        return len(self.times)

    @property
    def has_face(self) -> np.ndarray:
        """[F] bool, whether the face of the frame is known."""
        return ~np.isnan(self.rows)

    @property
    def constant(self) -> bool:
        """Whether the film has a constant rate."""
        return bool((np.abs(self.times - np.arange(len(self)) / self.video.fps) < _CONSTANT).all())

    @property
    def output_size(self) -> tuple[int, int]:
        """(width, height) of the film as it is written: as the file states it."""
        sizes = self.video.width, self.video.height
        return sizes[::-1] if self.turned % 180 else sizes

    def images(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Frames [H,W,3] uint8 in order; one that cannot be decoded is the one before (the first: the one after)."""
        frames = ahead(self.video.frames(numbers))
        following = next(frames, None)
        last = None
        for number in numbers:
            if following is not None and (following.number <= number or last is None):
                last = following.rgb
                if following.number <= number:
                    following = next(frames, None)
            assert last is not None, "video.frames raises where none can be decoded"
            yield last

    def window(self, number: int) -> tuple[slice, slice, slice, slice]:
        """Rows and columns of the film that the window of a frame covers, and the same in the window."""
        cut = []
        for axis, limit in ((1, self.video.height), (0, self.video.width)):
            start, size = int(self.corners[number, axis]), self.size[axis]
            low, high = max(start, 0), min(start + size, limit)
            cut.append((slice(low, high), slice(low - start, high - start)))
        return cut[0][0], cut[1][0], cut[0][1], cut[1][1]


def positions_of(known: np.ndarray, count: int, lost: Sequence[int]) -> np.ndarray:
    """Positions [count] of frames among the captured ones `known` [R]; NaN where the face was lost."""
    result = np.interp(np.arange(count), known, np.arange(len(known)))
    step = int(np.diff(known).min()) if len(known) > 1 else 1
    result[: max(int(known[0]) - step + 1, 0)] = np.nan
    result[int(known[-1]) + step :] = np.nan
    for number in lost:
        place = int(np.searchsorted(known, number))
        low = int(known[place - 1]) + 1 if place else 0
        high = int(known[place]) if place < len(known) else count
        result[low:high] = np.nan
    return result


@dataclass(frozen=True)
class Dub:
    """An avatar in the poses of a film with another face, ready to be composited."""

    driven: DrivenAvatar  # of the F frames of the film; its report says what was done
    frames: FilmFrames
    before: HeadParams  # [F] as the film shows the person
    torso: TorsoPose | None  # [F]
    strength: np.ndarray  # [F] 0..1, how much of the face is replaced
    part: Part

    @property
    def avatar(self) -> Avatar:
        """The avatar."""
        return self.driven.avatar

    @cached_property
    def settings(self) -> RenderSettings:
        """Size of the film."""
        return RenderSettings(*self.frames.output_size)

    def images(self, chosen: range, supersample: int = 1) -> Iterator[dict[str, np.ndarray]]:
        """The frames `chosen` of the film with the face replaced, as `avatar.video.offline_render.render_frames`."""
        weights = vertex_weights(self.avatar.head, self.part)
        fields = MotionFields(self.avatar.head, *weights)
        poser = Poser(self.avatar)
        shown = [number for number in chosen if self.strength[number] > 0]
        columns = [
            RenderColumn(self.avatar, params, self.frames.camera, self.torso)
            for params in (self.before, self.driven.params)
        ]
        settings = RenderSettings(*self.frames.size, supersample, Background(transparent=True))
        renders = render_frames(columns, settings, shown) if shown else iter(())
        width = self.frames.size[0]
        chunk = -1
        for number, film in zip(chosen, self.frames.images(chosen), strict=True):
            image = film.copy()
            if self.strength[number] > 0:
                both = next(renders)["rgb"]
                if number // _CHUNK != chunk:
                    chunk = number // _CHUNK
                    rows = slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
                    torso = None if self.torso is None else self.torso[rows]
                    poses = [poser.poses(params[rows], torso) for params in (self.before, self.driven.params)]
                heads = [poser.head(each, number % _CHUNK) for each in poses]
                field = fields.between(heads[0], heads[1], self.frames.camera[number])
                top, left, inner_top, inner_left = self.frames.window(number)
                padded = _padded(film, self.frames, number)
                made = composite(padded, both[:, :width], both[:, width:], field, number, float(self.strength[number]))
                image[top, left] = made.image[inner_top, inner_left]
            yield {"rgb": np.ascontiguousarray(np.rot90(image, -self.frames.turned // 90))}


def _padded(film: np.ndarray, frames: FilmFrames, number: int) -> np.ndarray:
    """The window of a frame [h,w,3], the borders of the film repeated beyond it."""
    x, y = frames.corners[number]
    columns = np.clip(np.arange(x, x + frames.size[0]), 0, film.shape[1] - 1)
    rows = np.clip(np.arange(y, y + frames.size[1]), 0, film.shape[0] - 1)
    return np.ascontiguousarray(film[rows[:, None], columns[None]])


def dub(
    film: Path,
    avatar: Path,
    source: DrivingSource,
    part: Part,
    *,
    rests: bool,
    appearance: str | None,
    notices: Notices,
) -> Dub:
    """The avatar in the poses of its person in a film, with the part of the face from a motion.

    Args:
        film: of the avatar's person.
        avatar: its file.
        source: what moves the face; its first frame is at the first of the film.
        part: what is replaced.
        rests: after the end of the motion its last frame stays; otherwise the film's own face comes back.
        appearance: as --appearance names it.
        notices: of the job.

    Raises:
        HeadsplatError: the film shows another person, several cameras filmed it, or it cannot be read.
    """
    video = open_video(film)
    if max(video.width, video.height) > MAX_SIDE:
        raise HeadsplatError(
            f"--background: {film}: {video.width}x{video.height} pixels, more than {MAX_SIDE} a side is too large; "
            "give a smaller copy"
        )
    with tempfile.TemporaryDirectory(prefix="headsplat-film-") as folder:
        found = _capture_of(film, avatar)
        if found is None:
            notices.say(f"{film.name}: no capture of it is beside it or the avatar; tracking it")
            found = track_video(film, Path(folder) / f"{film.stem}.capture", CaptureOptions.passes, notices)
        of_film = DrivingSource.load(found, MotionOptions(), notices)
        assert of_film.capture is not None
        if len(of_film.capture.metadata["cameras"]) > 1:
            raise HeadsplatError(f"{found}: filmed by several cameras; --background takes the film of one camera")
        known = of_film.drive(avatar, None, appearance)
    if known.camera is None:
        raise HeadsplatError(
            f"--background: {film}: shows another person than {avatar.name}; give a film of the avatar's person"
        )
    frames = FilmFrames.of(video, of_film.capture, first_rows(of_film.capture))
    before, torso = _at_rows(known, np.nan_to_num(frames.rows))
    face = source.drive(avatar, None, appearance)
    params = _at_times(face.params, face.times, frames.times)
    left = np.ones(len(frames)) if rests else _faded((float(face.times[-1]) + _FADE - frames.times) / _FADE)
    after = with_part(known.avatar.head, before, params, part, torch.from_numpy(left))
    strength = np.minimum(left, _near_a_face(frames))
    report = _report(film, frames, face, strength, part, notices)
    driven = replace(known, params=after, torso=torso, times=frames.times, report=report, camera=frames.camera)
    return Dub(driven, frames, before, torso, strength, part)


def _capture_of(film: Path, avatar: Path) -> Path | None:
    """The finished capture of the film beside it or beside the avatar; that of the avatar's training first."""
    trained = read_header(avatar).get("capture", {})
    names = [str(trained.get("name", "")), f"{film.stem}.capture", f"{avatar.stem}.capture", "capture"]
    digest, others = None, []
    for folder in dict.fromkeys((avatar.parent, film.parent)):
        for path in (folder / name for name in names if name and Path(name).name == name):
            if not (path / METADATA_FILE).is_file():
                continue
            try:
                capture = Capture.load(path)
            except HeadsplatError:
                continue
            digest = digest or source_digest([film])
            if capture.metadata["source"].get("sha256") != digest:
                continue
            if capture.fingerprint == trained.get("fingerprint"):
                return path
            others.append(path)
    return others[0] if others else None


def _at_rows(known: DrivenAvatar, rows: np.ndarray) -> tuple[HeadParams, TorsoPose | None]:
    """Parameters and torso of the film at positions [F] among its captured frames."""
    params, torso = known.params, known.torso
    if (rows == np.rint(rows)).all():
        which = torch.from_numpy(rows.astype(np.int64))
        return params[which], None if torso is None else torso[which]
    between = Interpolation.at(np.arange(len(params), dtype=np.float64), rows)
    if torso is not None:
        of_torso = known.avatar.rig.torso
        torso = of_torso.pose(between.values(of_torso.motion_of_pose(torso)))
    return _interpolated(params, between), torso


def _at_times(params: HeadParams, known: np.ndarray, times: np.ndarray) -> HeadParams:
    """Parameters at other times [F], held beyond the first and the last."""
    if len(known) == len(times) and np.array_equal(known, times):
        return params
    return _interpolated(params, Interpolation.at(known, np.clip(times, known[0], known[-1])))


def _interpolated(params: HeadParams, between: Interpolation) -> HeadParams:
    turned = [between.rotations(params.joint_rot[:, joint]) for joint in range(params.joint_rot.shape[1])]
    return HeadParams(
        params.identity,
        between.values(params.expression),
        torch.stack(turned, 1).to(params.joint_rot),
        between.values(params.translation),
    )


def _near_a_face(frames: FilmFrames) -> np.ndarray:
    """How much of the face is replaced [F] for the sake of frames without a face: 0 there, fading beside them."""
    lost = frames.times[~frames.has_face]
    if not len(lost):
        return np.ones(len(frames))
    after = np.searchsorted(lost, frames.times)
    sides = (lost[np.clip(place, 0, len(lost) - 1)] for place in (after, after - 1))
    return _faded(np.minimum(*(np.abs(frames.times - side) for side in sides)) / _FADE_LOST)


def _faded(values: np.ndarray) -> np.ndarray:
    """Smooth from 0 at 0 to 1 at 1."""
    values = np.clip(values, 0, 1)
    return np.asarray(values * values * (3 - 2 * values))


def _report(
    film: Path, frames: FilmFrames, face: DrivenAvatar, strength: np.ndarray, part: Part, notices: Notices
) -> dict[str, Any]:
    """What was done, for the report; sends what the user has to know."""
    lost = np.flatnonzero(~frames.has_face)
    if len(lost) == len(frames):
        raise HeadsplatError(f"{film}: no frame shows the face of the avatar's person; give another film")
    if len(lost):
        first = ", ".join(str(number) for number in lost[:8]) + (", ..." if len(lost) > 8 else "")
        notices.say(f"{film.name}: {counted(len(lost), 'frame')} without a face, unchanged: {first}")
    late = float(face.times[-1] - frames.times[-1])
    if late > 1 / frames.video.fps:
        notices.say(f"{film.name}: ends {late:.1f} s before the motion, whose end is left out")
    return {
        "way": "onto its film",
        "part": part,
        "replaced": int((strength > 0).sum()),
        "without_face": lost.tolist(),
        "face": face.report,
    }
