"""From a video to a Capture on disk: landmarks, then frames and mattes, then the track; resumable, split-safe.

Order is what keeps the split honest: everything training frames decide (the face, the crop, the identity, the camera,
their own smoothing) is decided before a held-out frame's pixels are looked at. The exception is a split by yaw, which
needs the yaw of every frame; nothing but the split comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar.common.files import path_text
from avatar.data.capture_folder import Capture, track_defaults
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.types import FACING_CAMERA
from capture.faces.face_pose import eyes_above_mouth, turn_sentence
from capture.faces.landmarks import HeadDetector
from capture.matting.user_matte import open_mattes
from capture.options import CaptureOptions, FaceModels, Progress
from capture.quality.assessment import Assessment, assess_frames, check_photographed, flagged_sentence
from capture.quality.frame_statistics import FrameStatistics
from capture.run import CaptureRun, open_workspace
from capture.sources import file_digest
from capture.stages.frames import ImageStage
from capture.stages.images import SmallImages
from capture.stages.landmarks import FaceFollower, LandmarkTable, choose_person, find_training_landmarks
from capture.stages.orientation import find_turn, find_yaw
from capture.stages.outline import track_outline
from capture.stages.photos import SolvedPhotos
from capture.stages.pixels import track_pixels
from capture.stages.torso import track_torso
from capture.stages.workers import Pool
from capture.tracker.camera import FocalPrior, focal_prior
from capture.tracker.clip import (
    ClipTrack,
    Observations,
    Person,
    fit_person,
    track_held_out,
    track_training,
)
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.output import quality, track_arrays
from capture.video.crop import Crop, MovingWindow, few_pixels
from capture.video.decoding import VideoSource, open_video
from capture.video.overview import choose_frames
from capture.video.split import MIN_TRAINING, FramePlan, frame_plan, split_by_yaw, split_frames

if TYPE_CHECKING:
    from avatar.data.kept_images import KeptImages

#: Solves photos together, given head model, photos and landmarks.
PhotoSolver = Callable[[HeadModel, Any, LandmarkTable], "SolvedPhotos | None"]


def run_capture(
    source: str | Path,
    out: str | Path,
    options: CaptureOptions | None = None,
    progress: Progress | None = None,
    models: FaceModels | None = None,
    kept: KeptImages | None = None,
) -> Capture:
    """Capture a video of one person, or a folder of several cameras (capture.layouts), into a folder.

    Args:
        source: a video file or a folder.
        out: the folder to make; a run that was interrupted is continued.
        options: see CaptureOptions.
        progress: called as `progress(stage, done, total)` with stages "yaw" (with `test_yaw`), "overview" (of long
            videos), "landmarks", "mattes", "track".
        models: factories of the networks (tests replace them).
        kept: where the training images of a video are kept in memory, for a training that follows.

    Returns:
        The finished capture.

    Raises:
        HeadsplatError: one sentence on what is wrong with the video or the folder.
    """
    source = Path(source)
    out = Path(out)
    if source.is_dir():
        from capture.multiview.pipeline import capture_folder

        return capture_folder(source, out, options, progress, models)
    if options is not None and (options.test_camera is not None or options.solve_cameras):
        raise HeadsplatError(
            f"{source}: one video has one camera; --test-camera and --solve-cameras are for a folder of several"
        )
    video = open_video(source).counted()
    digest = file_digest(source)
    metadata = {"name": path_text(source.name), "sha256": digest}
    if options is not None and options.orbit:
        return _capture_orbit(video, metadata, out, options, progress, models)
    return capture_frames(video, len(video), metadata, out, options, progress, models, kept=kept)


def _capture_orbit(
    video: VideoSource,
    source_metadata: dict[str, Any],
    out: Path,
    options: CaptureOptions,
    progress: Progress | None,
    models: FaceModels | None,
    *,
    found: bool = False,
) -> Capture:
    """Capture a video in which the camera is carried around a person who sits still."""
    from capture.multiview.pipeline import capture_views
    from capture.orbit.views import orbit_views

    if options.mattes is not None:
        raise HeadsplatError("--mattes: not for a walk around a person; leave it out")
    head = load_head(options.head, HeadDetector())
    views = orbit_views(video, head, options, models or FaceModels(), progress)
    if found:
        note = (
            f"{video.name}: the camera is carried around the person, who is taken to sit still and gets no "
            "expressions; where this is wrong, give --no-orbit"
        )
        views = replace(views, notes=(note, *views.notes))
    return capture_views(views, source_metadata, out, options, progress, models)


def capture_frames(
    video: Any,
    frame_count: int,
    source_metadata: dict[str, Any],
    out: Path,
    options: CaptureOptions | None = None,
    progress: Progress | None = None,
    models: FaceModels | None = None,
    traits: SourceTraits | None = None,
    kept: KeptImages | None = None,
) -> Capture:
    """Capture frames that are already open.

    Args:
        video: iterable of SourceFrame, again and again, with a VideoSource's attributes and `turned`.
        frame_count: how many frames it has.
        source_metadata: name and hash of the source.
        out: the folder to make.
        options: see CaptureOptions.
        progress: see run_capture.
        models: see run_capture.
        traits: None: those of a video.
        kept: see run_capture.
    """
    options = options or CaptureOptions()
    traits = traits or SourceTraits()
    training, held_out = split_frames(frame_count, video.fps, options.split)
    if len(training) < traits.least_frames:
        raise HeadsplatError(
            f"{source_metadata['name']}: {len(training)} training frames, at least {traits.least_frames} are needed; "
            "give a longer clip or hold out less"
        )
    # What is wrong with these fails before the work, not in the middle of it.
    focal = traits.focal or focal_prior(video.width, video.height, video.focal_35mm, options.focal)
    if options.mattes is not None:
        open_mattes(options.mattes)
    run = _Run(
        source_metadata,
        open_workspace(out, source_metadata["sha256"], options),
        options,
        progress,
        models or FaceModels(),
        video,
        frame_plan(training, held_out),
        focal,
        traits.least_frames,
        traits.solve,
        kept,
    )
    if not run.all_stages():
        return _capture_orbit(video, source_metadata, out, options, progress, models, found=True)
    return replace(Capture.load(out), kept=kept)


@dataclass(frozen=True)
class SourceTraits:
    """What differs between a video and other sources of frames."""

    least_frames: int = MIN_TRAINING  # training frames that show the face
    focal: FocalPrior | None = None  # pixels of its frames; None: from their size and `focal_35mm`
    solve: PhotoSolver | None = None  # solves the frames together before they are stored


@dataclass
class _Run(CaptureRun):
    """A capture of the frames of one camera under way."""

    video: Any
    plan: FramePlan
    focal: FocalPrior  # pixels of the source
    least_frames: int  # that show the face
    solve: PhotoSolver | None = None
    kept: KeptImages | None = None
    statistics: dict[int, FrameStatistics] = field(default_factory=dict)
    crops: dict[int, Crop] = field(default_factory=dict)  # by frame number
    assessments: list[Assessment] = field(default_factory=list)
    small: SmallImages = field(init=False)  # of the stored frames
    solved: SolvedPhotos | None = None  # of photos that were solved together
    turn: int = 0  # degrees counter-clockwise by which frames are turned, more than the file states

    def all_stages(self) -> bool:
        """Landmarks, images, track, files; False, without these, where the camera is carried around the person."""
        head = load_head(self.options.head, HeadDetector(), self._add_head_note)
        follower = FaceFollower(self.models, self.options.passes)
        self._time("orientation", lambda: self._turn_upright(follower))
        if (degrees := self.options.test_yaw) is not None:
            self.plan = self._time("yaw", lambda: self._split_by_yaw(follower, degrees))
        if np.count_nonzero(~self.plan.is_test) > self.options.max_frames:
            self.plan = self._time("overview", lambda: self._choose_frames(follower))
        table = self._time("landmarks", lambda: self._landmarks(follower))
        if self._goes_around(table):
            return False
        training = self._choose_person(table)
        if self.solve is not None:
            training = self._time("photos", lambda: self._solve_photos(head, training))
        window = self._window(training)
        training, held_out = self._time("mattes", lambda: self._images(training, window, follower))
        person, tracks = self._time("track", lambda: self._track(head, training, held_out, window.scale))
        self._finish(head, window, person, tracks)
        return True

    def _goes_around(self, table: LandmarkTable) -> bool:
        """Whether the camera is carried around the person, of whom the other side may look like another person."""
        from capture.orbit.recognition import goes_around

        possible = isinstance(self.video, VideoSource) and not self.turn and self.options.orbit is None
        return possible and self.options.mattes is None and len(table) > 0 and goes_around(self.video, table)

    def _turn_upright(self, follower: FaceFollower) -> None:
        """Turn the frames where the face is not upright in them."""
        self.turn = find_turn(self.video, self.plan.numbers[~self.plan.is_test], follower, self.workspace)
        if self.turn:
            self.video = self.video.with_turn(self.turn)
            self.warnings.append(f"{self.name}: {turn_sentence(self.turn)}")

    def _split_by_yaw(self, follower: FaceFollower, degrees: float) -> FramePlan:
        """The split itself needs the yaw of all frames; only their numbers reach what follows."""
        name = self.name
        numbers = self.plan.numbers
        yaw = find_yaw(self.video, numbers, follower, self.workspace, self.progress, name)
        return frame_plan(*split_by_yaw(numbers, yaw, degrees, name))

    def _choose_frames(self, follower: FaceFollower) -> FramePlan:
        candidates, held_out = (self.plan.numbers[mask] for mask in (~self.plan.is_test, self.plan.is_test))
        most = self.options.max_frames
        chosen = choose_frames(self.video, candidates, most, follower, self.workspace, self.progress)
        self.warnings.append(
            f"{self.name}: of {len(candidates)} frames the {len(chosen)} are used that show the most different poses "
            "and expressions; --max-frames changes how many"
        )
        return frame_plan(chosen, held_out)

    def _landmarks(self, follower: FaceFollower) -> LandmarkTable:
        wanted = self.plan.numbers[~self.plan.is_test]
        return find_training_landmarks(self.video, wanted, follower, self.workspace, self.progress)

    def _choose_person(self, table: LandmarkTable) -> LandmarkTable:
        wanted = np.count_nonzero(~self.plan.is_test)
        chosen, warnings = choose_person(table, self.name, int(wanted), self.least_frames)
        self.warnings += warnings
        return chosen

    def _solve_photos(self, head: HeadModel, training: LandmarkTable) -> LandmarkTable:
        """Landmarks on the canvas of the focal lengths that were found, if they were."""
        assert self.solve is not None
        self.solved = self.solve(head, self.video, training)
        if self.solved is None:
            return training
        self.video = self.solved.video
        self.focal = self.solved.focal
        return self.solved.training

    def _window(self, training: LandmarkTable) -> MovingWindow:
        """What is stored of the frames, chosen from those of the training."""
        source = (self.video.width, self.video.height)
        options = self.options
        points = np.stack(training.points)
        time = np.array(training.time)
        window = MovingWindow.around(points, time, source, options.framing, options.max_size)
        if sentence := few_pixels(window.face, window.stored_size):
            self.warnings.append(f"{self.name}: {sentence}")
        return window

    def _images(
        self, training: LandmarkTable, window: MovingWindow, follower: FaceFollower
    ) -> tuple[LandmarkTable, LandmarkTable]:
        """Write frames and mattes; the training rows that have them, and the held-out ones."""
        mattes = open_mattes(self.options.mattes) if self.options.mattes else None
        stage = ImageStage(
            self.plan, training, window, follower, self.models, self.workspace, mattes, self.turn, self.kept
        )
        held_out = stage.run(self.video, self.progress)
        if len(held_out):
            held_out = held_out.keep(np.flatnonzero(eyes_above_mouth(np.stack(held_out.points))))
        self.statistics = stage.statistics
        self.crops = stage.crops
        self.small = stage.small
        wanted = int(np.count_nonzero(self.plan.is_test))
        if len(held_out) < wanted:
            self.warnings.append(f"{wanted - len(held_out)} of {wanted} held-out frames do not show the face; left out")
        self.warnings += [text for text in self.video.warnings if text not in self.warnings]
        stored = np.flatnonzero([number in self.statistics for number in training.number])
        if len(stored) < len(training):  # a damaged file does not decode alike in both passes
            self.warnings.append(f"{len(training) - len(stored)} training frames could not be decoded again; left out")
            training = training.keep(stored)
        check_photographed((self.statistics[number] for number in training.number), self.name)
        return training, held_out

    def _track(
        self, head: HeadModel, training: LandmarkTable, held_out: LandmarkTable, scale: float
    ) -> tuple[Person, list[tuple[LandmarkTable, Observations, ClipTrack, bool]]]:
        video = self.video
        model = LandmarkModel.from_head(head)
        prior = self.focal.at_scale(scale)
        seen = _observations(training, scale)
        unseen = _observations(held_out, scale) if len(held_out) else None
        self.assessments = assess_frames(self.statistics, seen, training.number, unseen, held_out.number)
        seen = self.assessments[0].observations
        total = len(training) + len(held_out)

        with Pool() as pool:
            if self.kept is not None:  # the tracker runs on one thread
                pool.submit(self.kept.prepare, training.number, self.assessments[0].exposure)
            center = (video.width / 2 * scale, video.height / 2 * scale)
            if self.solved is not None:
                person, track = self.solved.track(model, seen, center, scale)
            else:
                person = fit_person(model, seen, prior, center)
                track = track_training(person, seen, lambda done, _: self._report("track", done, total))
            pool.drain()
        tracks = [(training, seen, track, False)]
        if unseen is not None:
            unseen = self.assessments[1].observations
            tracks.append((held_out, unseen, track_held_out(person, seen, track, unseen), True))
        self._report("track", total, total)
        return person, tracks

    def _finish(
        self,
        head: HeadModel,
        window: MovingWindow,
        person: Person,
        tracks: list[tuple[LandmarkTable, Observations, ClipTrack, bool]],
    ) -> None:
        arrays_by_split = [
            {
                **track_arrays(head, person, np.array(table.number), seen, track, is_test),
                **self._stored_arrays(table.number, seen),
                "exposure": judgment.exposure,
                "weight": judgment.weight,
            }
            for (table, seen, track, is_test), judgment in zip(tracks, self.assessments, strict=True)
        ]
        numbers = np.concatenate([each["frame_number"] for each in arrays_by_split])
        order = np.argsort(numbers, kind="stable")
        arrays = {
            name: shared if name == "identity" else np.concatenate([each[name] for each in arrays_by_split])[order]
            for name, shared in arrays_by_split[0].items()
        }
        arrays = {**track_defaults(len(order)), **arrays}
        arrays |= self._time("torso", lambda: track_torso(self.small, arrays))
        arrays |= self._time("outline", lambda: track_outline(self.small, arrays))
        masks = [seen.hidden for _, seen, _, _ in tracks]
        hidden = {name: np.concatenate([mask[name] for mask in masks])[order] for name in masks[0]}
        focal = person.camera.focal
        arrays |= self._time("pixels", lambda: track_pixels(head, self.small, arrays, focal, hidden))
        flagged = sorted(
            (entry for judgment in self.assessments for entry in judgment.flagged), key=lambda entry: entry["frame"]
        )
        if flagged:
            self.warnings.append(flagged_sentence(flagged))
        split = {"mode": self.options.split.mode, "value": self.options.split.value}
        own = self._own_metadata(window, person, arrays)
        metadata = self._metadata(head, arrays["is_test"], split, own)
        if self.solved is not None:
            metadata["solved"] = self.solved.metadata
        metadata["flagged"] = flagged
        metadata["quality"] = quality(person, tracks[0][1], tracks[0][2])
        self.workspace.finish(arrays, metadata)

    def _stored_arrays(self, numbers: list[int], observations: Observations) -> dict[str, np.ndarray]:
        """What depends on where the window of each frame is, in pixels of the stored frames."""
        crops = [self.crops[number] for number in numbers]
        points = observations.points
        stored = [crop.points(each / crop.scale) for crop, each in zip(crops, points, strict=True)]
        centers = [crop.principal_point(self.video.width, self.video.height) for crop in crops]
        return {"landmarks": np.stack(stored).astype(np.float32), "principal_point": np.stack(centers)}

    def _own_metadata(self, window: MovingWindow, person: Person, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The entries of capture.json that a capture of one camera has."""
        width, height = window.stored_size
        crop = Crop(0, 0, *window.size, window.scale)
        center = np.median(arrays["principal_point"][~arrays["is_test"]], axis=0)
        return {
            "source": {
                **self.source_metadata,
                "fps": float(self.video.fps),
                "frames": len(self.plan),
                "width": self.video.width,
                "height": self.video.height,
                "rotation": self.video.rotation,
                "mirrored": self.video.mirrored,
                "turned": self.turn,
            },
            "crop": {"width": crop.width, "height": crop.height, "scale": crop.scale},
            "width": width,
            "height": height,
            "cameras": [camera_metadata(person, crop.scales / crop.scale, center)],
            "lost": [int(number) for number in np.setdiff1d(self.plan.numbers, arrays["frame_number"])],
        }


def camera_metadata(person: Person, stretch: np.ndarray, center: np.ndarray) -> dict[str, Any]:
    """The one camera as capture.json states it.

    Args:
        person: with the camera of the tracker.
        stretch: pixels of stored frames per pixel of the tracker [2].
        center: typical principal point [2], pixels of stored frames.
    """
    camera = person.camera
    focal_x, focal_y = (camera.focal * stretch).tolist()
    return {
        "name": "0",
        "K": [[focal_x, 0.0, float(center[0])], [0.0, focal_y, float(center[1])], [0.0, 0.0, 1.0]],
        "world_to_cam": [list(row) for row in FACING_CAMERA],
        "axes": "world: meters, y up, face statistics along +z; camera: OpenCV, x right, y down, z forward, "
        "pixel centers at +0.5",
        "focal_px": camera.focal,
        "focal_sigma": camera.focal * person.focal_log_sigma,
        "focal_estimated": person.focal_released,
    }


def _observations(table: LandmarkTable, scale: float) -> Observations:
    """Landmarks in pixels of whole source frames resized by `scale`: one camera, wherever the windows are."""
    points, spread = (np.stack(values).astype(np.float64) * scale for values in (table.points, table.spread))
    return Observations(points, spread, np.array(table.presence), np.array(table.time))
