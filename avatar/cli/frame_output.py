"""Drawing frames and writing them: a writer for each pass, progress, and Ctrl-C that loses nothing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avatar.cli.interrupt import stopped_by_interrupt
from avatar.cli.progress import Update, say
from avatar.rendering.settings import Look
from avatar.video import Encoding, Pass, Writer, open_output
from avatar.video.film import Actor, render_frames

_STOPPING = "stopping once what is drawn is written"
#: Passes whose numbers a PNG would round.
_FLOATS: tuple[Pass, ...] = ("depth", "normals")


def outputs_of(out: Path, passes: Sequence[Pass]) -> dict[Pass, Path]:
    """Where each pass goes: one alone to `out`; several to take.mp4 and take_depth.mp4, or to folders take/depth."""
    if len(passes) == 1:
        return {passes[0]: out}
    if not out.suffix:
        return {name: out / name for name in passes}
    return {name: out if name == "rgb" else out.with_name(f"{out.stem}_{name}{out.suffix}") for name in passes}


@dataclass(frozen=True)
class FilmWriter:
    """Where the pictures of one rendering go, and when each is shown."""

    out: Path
    look: Look
    rate: float  # frames a second
    times: np.ndarray | None  # [T] seconds of the frames of the whole; None: number / rate
    total: int  # T
    encoding: Encoding = field(default_factory=Encoding)
    audio: Path | None = None

    @property
    def outputs(self) -> dict[Pass, Path]:
        """The file or folder of each pass."""
        return outputs_of(self.out, self.look.passes)

    def writers(self, first_frame: int) -> dict[Pass, Writer]:
        """A writer for each pass, not opened yet; raises HeadsplatError where one cannot hold its pictures."""
        first = next(iter(self.outputs))
        return {
            name: open_output(
                path,
                self.rate,
                picture=name,
                alpha=self.look.backdrop.transparent,
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

    def render(self, actors: Sequence[Actor], frames: range, update: Update) -> int:
        """Draw and write `frames` of the whole; returns how many: fewer after Ctrl-C, which keeps what was done.

        What Ctrl-C kept, and how to draw the rest, is said.

        Raises:
            KeyboardInterrupt: at the second Ctrl-C, wherever it comes. The files keep what was done until then; they
                are not written where that is nothing.
        """
        writers = self.writers(frames.start)
        try:
            with stopped_by_interrupt(_STOPPING) as stop:
                self._write(writers, actors, frames, update, stop)
        finally:
            done = min(writer.count for writer in writers.values())
            if all(writer.finished for writer in writers.values()) and done < len(frames):
                say(self._resume(frames, done))
        return done

    def _write(
        self,
        writers: Mapping[Pass, Writer],
        actors: Sequence[Actor],
        frames: range,
        update: Update,
        stop: threading.Event,
    ) -> None:
        start = time.monotonic()
        with contextlib.ExitStack() as stack:
            for writer in writers.values():
                stack.enter_context(writer)
            drawn = zip(frames, render_frames(actors, self.look, frames), strict=True)
            for done, (frame, pictures) in enumerate(drawn, 1):
                for name, writer in writers.items():
                    writer.add(pictures[name], None if self.times is None else float(self.times[frame]))
                update(done / len(frames), _progress(done, len(frames), time.monotonic() - start))
                if done < len(frames) and stop.is_set():
                    break

    def _resume(self, frames: range, done: int) -> str:
        middle = frames.start + done
        return (
            f"stopped by Ctrl-C: {self.out} holds {done} of {len(frames)} frames ({frames.start}:{middle}); "
            f"--frames {middle}:{frames.stop} with another -o draws the rest, and `headsplat join` joins videos"
        )


def _progress(done: int, count: int, seconds: float) -> str:
    speed = done / max(seconds, 1e-6)
    left = round((count - done) / speed)
    return f"frame {done} of {count}, {speed:.1f} frames/s, {left // 60}:{left % 60:02d} left"
