"""Lost faces: no sample of one person after a change to another, and a lost face when tracking fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice

import pytest

from capture.live import FaceSource, Sample
from capture.live.camera import FileFeed, LiveFrame
from capture.live.identity import LearnOptions
from tests.capture.video.fake_video import FakeVideo, fake_models

LEARN = LearnOptions(seconds=0.5, key_frames=5)


def rest_of(source: FaceSource, until_tracked: int | None = None) -> list[Sample]:
    """Samples until so many frames were tracked, or the source ends."""
    samples = []
    while not source.finished and (until_tracked is None or source.stats()["tracked"] < until_tracked):
        if sample := source.latest():
            samples.append(sample)
        time.sleep(1e-3)
    return samples


class Pausing(FileFeed):
    """Delivers all frames but the last, which waits for an event."""

    def __init__(self, count: int) -> None:
        super().__init__(FakeVideo(count), "all")
        self.go, self._count = threading.Event(), count

    def frames(self) -> Iterator[LiveFrame]:
        frames = super().frames()
        yield from islice(frames, self._count - 1)
        self.go.wait()
        yield from frames


def test_a_lost_face_is_not_reported_after_another_person_is_learned() -> None:
    feed = Pausing(21)
    source = FaceSource(feed, lossless=True, models=fake_models(), learn=LEARN)
    source.start()
    assert rest_of(source, until_tracked=20)
    source.learn_again()
    feed.go.set()
    assert not rest_of(source)
    source.stop()


def test_when_tracking_fails_the_face_is_lost_and_the_reason_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FaceSource(FileFeed(FakeVideo(30), "all"), lossless=True, models=fake_models(), learn=LEARN)
    track = source._track

    def fail(frame: LiveFrame) -> None:
        if frame.number == 20:
            raise RuntimeError("out of memory")
        track(frame)

    monkeypatch.setattr(source, "_track", fail)
    source.start()
    samples = rest_of(source)
    source.stop()
    assert [sample.confidence > 0 for sample in samples[-2:]] == [True, False]
    assert "tracking failed (out of memory); start it again" in source.stats()["ended"]


def test_a_tracker_that_is_behind_finishes_every_third_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FaceSource(FileFeed(FakeVideo(30), "all"), models=fake_models(), learn=LEARN)
    source.start()
    source.stop()
    finished: list[int] = []
    assert source._tracker is not None
    monkeypatch.setattr(source._tracker, "finish", lambda: finished.append(0))
    counts = {}
    for behind in (True, False):
        monkeypatch.setattr(type(source.camera), "waiting", behind)
        finished.clear()
        for number, frame in enumerate(FakeVideo(9)):
            source._track(LiveFrame(number, time.monotonic(), frame.rgb))
        counts[behind] = len(finished)
    assert counts == {True: 3, False: 9}
