"""The end of a face: nothing of it reaches another person, and none stays when tracking breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice

import pytest

from capture.live import FaceInput, Sample
from capture.live.camera import FileFeed, LiveFrame
from capture.live.identity import LearnOptions
from tests.capture.video.fake_video import FakeVideo, fake_models

LEARN = LearnOptions(seconds=0.5, key_frames=5)


def rest_of(source: FaceInput, until_tracked: int | None = None) -> list[Sample]:
    """Samples until so many pictures were tracked, or the source ends."""
    samples = []
    while not source.finished and (until_tracked is None or source.stats()["tracked"] < until_tracked):
        if sample := source.latest():
            samples.append(sample)
        time.sleep(1e-3)
    return samples


class Pausing(FileFeed):
    """All frames but the last, which waits."""

    def __init__(self, count: int) -> None:
        super().__init__(FakeVideo(count), "all")
        self.go, self._count = threading.Event(), count

    def frames(self) -> Iterator[LiveFrame]:
        frames = super().frames()
        yield from islice(frames, self._count - 1)
        self.go.wait()
        yield from frames


def test_the_end_of_a_face_is_not_told_to_another_person() -> None:
    feed = Pausing(21)
    source = FaceInput(feed, lossless=True, models=fake_models(), learn=LEARN)
    source.start()
    assert rest_of(source, until_tracked=20)
    source.learn_again()
    feed.go.set()
    assert not rest_of(source)
    source.stop()


def test_when_tracking_breaks_the_face_is_gone_and_the_cause_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FaceInput(FileFeed(FakeVideo(30), "all"), lossless=True, models=fake_models(), learn=LEARN)
    track = source._track

    def breaks(frame: LiveFrame) -> None:
        if frame.number == 20:
            raise RuntimeError("out of memory")
        track(frame)

    monkeypatch.setattr(source, "_track", breaks)
    source.start()
    samples = rest_of(source)
    source.stop()
    assert [sample.confidence > 0 for sample in samples[-2:]] == [True, False]
    assert "tracking failed (out of memory); start it again" in source.stats()["ended"]
