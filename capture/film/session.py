"""A recording: frames of a camera are tracked live, the coach says what is missing, frames that matter are kept."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.head import load_head
from capture.coach.coach import Advice, Coach
from capture.coach.face_state import FaceState
from capture.coach.observer import Observer
from capture.faces.face_pose import face_features
from capture.film.folder import FilmFolder
from capture.live.camera import CameraThread, Feed, Lens, LiveFrame
from capture.live.face_tracker import FaceTracker
from capture.live.identity import LearnOptions
from capture.options import CaptureOptions, FaceModels
from capture.video.selection import FrameSelection

log = logging.getLogger(__name__)

#: Kept frames at most: half a minute shows no more than this many poses and expressions.
MOST_FRAMES = 300
#: Distance of kept frames at first: of ten seconds nearly all are kept, of half a minute MOST_FRAMES.
RADIUS = 0.2
#: Degrees of gaze, and difference of the lids' weights, that make a distance of 1.
_GAZE = 6.0
_WINK = 0.3
#: Seconds that do so. Of a person who hardly moves ten frames a second are kept: what is learned of torso and pose from
#: the frames (ridge regressions) was 1 dB worse on a clip of which half of the still frames were left out.
_SECONDS = 0.5
#: Seconds that the thread waits for a frame before it looks whether the recording was stopped; images that wait to be
#: written at most.
_FRAME_TIMEOUT = 0.1
_MOST_WAITING = 8
#: Seconds between two notes of what was shown, for a recording that goes on later.
_NOTE_SECONDS = 1.0
#: Samples of the face at rest that are remembered.
_RESTING = 90

Command = Literal["skip", "repeat", "pause"]


@dataclass(frozen=True, eq=False)
class Shown:
    """The newest frame, and what to do."""

    rgb: np.ndarray  # [H,W,3] uint8 sRGB
    advice: Advice
    seconds: float  # since the start
    frames: int  # since the start
    kept: int  # frames
    sample: Sample | None = None  # of the face; None where there is none


class Filming:
    """A recording under way, on a thread of its own."""

    def __init__(
        self,
        feed: Feed,
        out: Path,
        options: CaptureOptions | None = None,
        *,
        lossless: bool = False,
        models: FaceModels | None = None,
        learn: LearnOptions | None = None,
        resume: bool = False,
    ) -> None:
        """
        Args:
            feed: the camera, or a video in its place.
            out: the capture folder that grows.
            options: of the capture.
            lossless: no frame is dropped (a file at pace "all").
            models: makers of the networks.
            learn: options of the identity fit of the live tracker.
            resume: go on with the unfinished film that is in the folder.
        """
        self.name = Path(feed.name).name
        self._camera = CameraThread(feed, lossless=lossless)
        self._lossless = lossless
        self._out = out
        self._options = options or CaptureOptions()
        self._models = models or FaceModels()
        self._learn = learn or LearnOptions()
        self._resume = resume
        self._coach = Coach()
        self._selection = FrameSelection(MOST_FRAMES, RADIUS)
        self._others = 0  # frames of an earlier part of which it is not known what they show
        self._lock = threading.Lock()  # of the coach
        self._shown: Shown | None = None
        self.resting: list[Sample] = []  # the first ones with a face: the coach has asked for a face at rest
        self._frames = 0
        self._start: float | None = None  # seconds of the camera's clock at which the film began
        self._noted = -_NOTE_SECONDS  # seconds of the film
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the camera and start; raises HeadsplatError where it cannot be opened or the folder cannot be made."""
        lens = self._camera.start()
        try:
            self.folder = FilmFolder(self._out, self.name, self._options, resume=self._resume)
        except BaseException:
            self._camera.stop()
            raise
        if self._resume:
            self._go_on()
        self._thread = threading.Thread(target=self._run, args=(lens,), name="film", daemon=True)
        self._thread.start()

    def _go_on(self) -> None:
        """Take over what the frames that are there show, as far as it was noted."""
        noted = self.folder.noted()
        try:
            selection = FrameSelection.restored(MOST_FRAMES, noted["selection"], self.folder.numbers)
            self._coach.go_on(noted["coach"])
            self._selection = selection
        except (KeyError, TypeError, ValueError, OverflowError):
            log.debug("nothing is known of an earlier part of the recording", exc_info=True)
        self._others = len(self.folder) - len(self._selection)

    def command(self, command: Command) -> None:
        """Skip the present request, repeat the last one, or pause and go on."""
        with self._lock:
            getattr(self._coach, command)()

    def shown(self) -> Shown | None:
        """The newest frame and advice; None before the first frame."""
        return self._shown

    @property
    def kept(self) -> int:
        """Frames that are kept."""
        return self._others + len(self._selection)

    @property
    def seen(self) -> int:
        """Frames of the camera since the start."""
        return self._frames

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the recording; whether it has ended. Raises what ended it early, if anything did."""
        ended = self._ended.wait(seconds)
        if ended and self._failure is not None:
            raise self._failure
        return ended

    def stop(self) -> None:
        """End the recording now; kept frames stay."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._camera.stop()

    def _run(self, lens: Lens) -> None:
        try:
            with ThreadPoolExecutor(1, "film images") as writer:
                self._record(lens, writer)
        except BaseException as error:  # raised again by `wait`
            log.debug("the recording failed", exc_info=True)
            self._failure = error
        finally:
            self._camera.stop()
            self._ended.set()

    def _record(self, lens: Lens, writer: ThreadPoolExecutor) -> None:
        tracker = FaceTracker(load_head(), lens, self._models, self._learn, wait=self._lossless, torso=False)
        observer = Observer(self._models)
        waiting: list[Future[None]] = []
        while not self._stop.is_set():
            frame = self._camera.take(_FRAME_TIMEOUT)
            if frame is None:
                if self._camera.finished:
                    break
                continue
            time = frame.time if frame.source_time is None else frame.source_time
            self._start = time - self.folder.start_time if self._start is None else self._start
            sample = tracker(frame)
            state = observer(frame.rgb, time - self._start, tracker.points, sample)
            with self._lock:
                advice = self._coach.step(state)
            self._frames += 1
            if advice.counts and tracker.points is not None:
                waiting += self._offer(frame, state, tracker.points, writer)
            if sample is not None and sample.confidence > 0 and len(self.resting) < _RESTING:
                self.resting.append(sample)
            self._shown = Shown(frame.rgb, advice, state.time, self._frames, self.kept, sample)
            while waiting and (waiting[0].done() or len(waiting) > _MOST_WAITING):
                waiting.pop(0).result()
            if advice.finished:
                break
        for image in waiting:
            image.result()
        self.folder.note(self._note())
        if not self._frames and not self._stop.is_set():
            raise HeadsplatError(self._camera.ended or f"{self.name}: no frames arrive; reconnect the camera")

    def _offer(
        self, frame: LiveFrame, state: FaceState, points: np.ndarray, writer: ThreadPoolExecutor
    ) -> list[Future[None]]:
        """Keep a frame if it shows something new; the work on files that this starts."""
        number = self.folder.start_number + frame.number
        choice = self._selection.offer(number, film_features(state, points), state.blur)
        if not choice.kept:
            return []
        work = [writer.submit(self.folder.add, number, state.time, frame.rgb)]
        work += [writer.submit(self.folder.drop, dropped) for dropped in choice.dropped]
        if state.time >= self._noted + _NOTE_SECONDS:
            self._noted = state.time
            work.append(writer.submit(self.folder.note, self._note()))
        return work

    def _note(self) -> dict[str, Any]:
        """What the recording has shown, for one that goes on later."""
        with self._lock:
            return {"coach": self._coach.shown(), "selection": self._selection.state()}


def film_features(state: FaceState, points: np.ndarray) -> np.ndarray:
    """Pose, expression and time [12] of a frame with landmarks [478,3], in units that make distances comparable."""
    gaze = np.array(state.gaze) / _GAZE
    wink = (state.expression.get("eyeBlinkLeft", 0.0) - state.expression.get("eyeBlinkRight", 0.0)) / _WINK
    return np.concatenate([face_features(points[None])[0], gaze, [wink, state.time / _SECONDS]])
