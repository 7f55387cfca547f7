"""A recording that is killed with SIGKILL has kept a capture that can be trained from."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avatar.data.capture_folder import Capture
from avatar.jobs.training import TrainOptions, train
from capture.workspace import growing_film
from tests.capture.video.fake_video import fake_models, fit_person_quickly

pytestmark = pytest.mark.slow
FAST = "steps = 12\ngaussians = 300\nbases = 3\nsize = 48\nrefine_at = 1.0\n"
#: Films into the folder of the first argument, as slowly as a camera, until it is killed.
ENDLESS = """
import sys
from pathlib import Path
from capture.film.session import Filming
from capture.live.camera import FileFeed, WebcamFeed
from capture.live.identity import LearnOptions
from tests.capture.video.fake_video import FakeVideo, fake_models
feed = FileFeed(FakeVideo(100_000), "all")
filming = Filming(feed, Path(sys.argv[1]), lossless=True, models=fake_models(), learn=LearnOptions(0.5, key_frames=5))
filming.command("skip")
filming.start()
filming.wait(1000)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_recording_that_is_killed_can_be_trained_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.pipeline.FaceModels", fake_models)
    monkeypatch.setattr("capture.pipeline.fit_person", fit_person_quickly)
    (tmp_path / "fast.toml").write_text(FAST)
    out = tmp_path / "me.capture"
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(out)], cwd=Path(__file__).parents[3])
    try:
        while (found := growing_film(out)) is None or len(list(found.glob("*.png"))) < 24:
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    kept = len(list(found.glob("*.png")))
    trained = train(out, tmp_path / "me.avatar", TrainOptions(config=tmp_path / "fast.toml"))
    assert trained is not None and len(Capture.load(out)) == kept
