"""Rendering frames to files: a writer for each pass, progress, and an early end that keeps the frames so far."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avatar.jobs.notices import SILENT, Notices, Stop, Update, cause_of, stoppable
from avatar.rendering.settings import RenderSettings
from avatar.video import Encoding, Pass, Writer, open_output

_STOPPING = "stopping after the rendered frames are written"
#: Passes with float values, which PNG would round.
_FLOATS: tuple[Pass, ...] = ("depth", "normals")


def outputs_of(out: Path, passes: Sequence[Pass]) -> dict[Pass, Path]:
    """The output of each pass: `out` for one pass; take.mp4 and take_depth.mp4, or folders take/depth, for several."""
    if len(passes) == 1:
        return {passes[0]: out}
    if not out.suffix:
        return {name: out / name for name in passes}
    return {name: out if name == "rgb" else out.with_name(f"{out.stem}_{name}{out.suffix}") for name in passes}


@dataclass(frozen=True)
class FrameOutput:
    """The output files of one rendering, and the times of its frames."""

    out: Path
    settings: RenderSettings
    rate: float  # frames per second
    times: np.ndarray | None  # [T] seconds of all frames of the motion; None: number / rate
    total: int  # T
    encoding: Encoding = field(default_factory=Encoding)
    audio: Path | None = None

    @property
    def outputs(self) -> dict[Pass, Path]:
        """The file or folder of each pass."""
        return outputs_of(self.out, self.settings.passes)

    def writers(self, first_frame: int) -> dict[Pass, Writer]:
        """A writer for each pass, not opened yet; raises HeadsplatError for a format that cannot store its pass."""
        first = next(iter(self.outputs))
        return {
            name: open_output(
                path,
                self.rate,
                pass_name=name,
                alpha=self.settings.background.transparent,
                encoding=self._encoding(name, path),
                audio=self.audio if name == first else None,
                first_frame=first_frame,
                total=self.total or None,
            )
            for name, path in self.outputs.items()
        }

    def _encoding(self, name: Pass, path: Path) -> Encoding:
        if not path.suffix and self.encoding.codec is None and name in _FLOATS:
            return Encoding(codec="exr", half=False)
        return self.encoding

    def render(
        self,
        images: Iterable[Mapping[str, np.ndarray]],
        frames: range,
        update: Update,
        *,
        stop: Stop = None,
        notices: Notices = SILENT,
    ) -> int:
        """Render and write frames of the motion.

        `stop` ends the rendering and keeps the frames so far; a message explains how to render the remaining ones.

        Args:
            images: every pass of each frame, as `avatar.video.offline_render.render_frames` makes them.
            frames: numbers of these frames.
            update: receives the progress.
            stop: what ends the rendering early.
            notices: of the job.

        Returns:
            The number of frames written; less than `len(frames)` where it was ended early.

        Raises:
            KeyboardInterrupt: at the second Ctrl-C. The files contain the frames so far, and do not exist if there are
                none.
        """
        writers = self.writers(frames.start)
        with stoppable(stop, _STOPPING) as stopped:
            try:
                self._write(writers, images, frames, update, stopped)
            finally:
                done = min(writer.count for writer in writers.values())
                if all(writer.finished for writer in writers.values()) and done < len(frames):
                    notices.say(self._interrupted_message(frames, done, cause_of(stopped)))
        return done

    def _write(
        self,
        writers: Mapping[Pass, Writer],
        images: Iterable[Mapping[str, np.ndarray]],
        frames: range,
        update: Update,
        stop: threading.Event,
    ) -> None:
        start = time.monotonic()
        with contextlib.ExitStack() as stack:
            for writer in writers.values():
                stack.enter_context(writer)
            for done, (frame, passes) in enumerate(zip(frames, images, strict=True), 1):
                for name, writer in writers.items():
                    writer.add(passes[name], None if self.times is None else float(self.times[frame]))
                update(done / len(frames), _progress(done, len(frames), time.monotonic() - start))
                if done < len(frames) and stop.is_set():
                    break

    def _interrupted_message(self, frames: range, done: int, cause: str) -> str:
        next_frame = frames.start + done
        return (
            f"stopped by {cause}: {self.out} contains {done} of {len(frames)} frames ({frames.start}:{next_frame}); "
            f"--frames {next_frame}:{frames.stop} with another -o renders the rest, and `headsplat join` joins videos"
        )


def _progress(done: int, count: int, seconds: float) -> str:
    speed = done / max(seconds, 1e-6)
    remaining = round((count - done) / speed)
    return f"frame {done} of {count}, {speed:.1f} fps, {remaining // 60}:{remaining % 60:02d} remaining"
