"""`headsplat track` as a program: a video as the camera of another program, by the real networks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.video import write_video
from capture.live.protocols import PROTOCOLS, UdpSource
from capture.networks.models import WHEEL_MEMBERS, model_path

CLIP = Path(__file__).parents[2] / "capture" / "synthetic" / "demo_clip.mp4"


def test_every_sample_of_a_video_is_received_with_52_weights(tmp_path: Path) -> None:
    try:
        for name in WHEEL_MEMBERS:
            model_path(name)
    except HeadsplatError as error:
        pytest.skip(str(error))
    receiver = UdpSource(PROTOCOLS["vmc"], port=0)
    receiver.start()
    words = ["track", "--webcam", str(CLIP), "--send", f"vmc:{receiver.port}", "--json", str(tmp_path / "run.json")]
    samples = []
    try:
        run = subprocess.Popen([sys.executable, "-m", "avatar.cli", *words], stderr=subprocess.PIPE, text=True)
        while run.poll() is None:
            if (sample := receiver.latest()) is not None:
                samples.append(sample)
            time.sleep(0.002)
        assert run.stderr is not None
        assert run.returncode == 0, run.stderr.read()
        time.sleep(0.5)  # for the packets that have arrived and were not read
        stats = receiver.stats()
    finally:
        receiver.stop()
    report = json.loads((tmp_path / "run.json").read_text())
    assert stats["samples"] == report["samples"] == report["sent"][f"VMC to 127.0.0.1:{receiver.port}"]["sent"]
    assert (stats["malformed"], stats["ignored_names"]) == (0, [])
    assert report["with_face"] > 20
    found = [sample for sample in samples if sample.confidence > 0]
    assert all(sample.names == ARKIT_52 for sample in found)
    weights = np.stack([sample.weights for sample in found])
    assert weights.min() >= 0 and weights.max() <= 1
    assert np.ptp(weights[:, ARKIT_52.index("jawOpen")]) > 0.2


def test_a_video_without_a_face_is_an_error(tmp_path: Path) -> None:
    write_video(tmp_path / "wall.mp4", [np.full((96, 96, 3), 128, np.uint8)] * 12, 30.0)
    words = ["track", "--webcam", str(tmp_path / "wall.mp4"), "--send", "vmc:39546"]
    run = subprocess.run([sys.executable, "-m", "avatar.cli", *words], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert run.stderr.endswith("wall.mp4: end of the video; no face was found, so that nothing was sent\n")
