"""`jobs.track` as a call: what it sends, what ends it, and what it refuses."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from avatar import jobs
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.jobs.live_run import TrackReport
from avatar.jobs.notices import Notice
from capture.live.protocols import udp_sender, udp_source
from tests.capture.live.test_senders import random_sample


def free_ports(count: int) -> list[int]:
    probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def test_what_an_app_sends_goes_on_in_other_protocols_until_the_event(tmp_path: Path) -> None:
    phone, first, second = free_ports(3)
    receivers = [udp_source(f"vmc:{first}"), udp_source(f"livelink:{second}")]
    stop = threading.Event()
    notices: list[Notice] = []
    options = jobs.TrackOptions(send=(f"vmc:{first}", f"livelink:127.0.0.1:{second}"), json=tmp_path / "run.json")
    runs = []

    def run() -> None:
        runs.append(jobs.track(jobs.FaceOptions(listen=f"livelink:{phone}"), options, notify=notices.append, stop=stop))

    for receiver in receivers:
        receiver.start()
    thread = threading.Thread(target=run)
    thread.start()
    sender = udp_sender(f"livelink:{phone}")
    weights = random_sample(0).weights
    try:
        found = [None, None]
        end = time.monotonic() + 30
        while None in found and time.monotonic() < end:
            sender.send(random_sample(0))
            time.sleep(0.01)
            found = [sample or receiver.latest() for sample, receiver in zip(found, receivers, strict=True)]
    finally:
        stop.set()
        thread.join()
        sender.close()
        for receiver in receivers:
            receiver.stop()
    for sample in found:
        assert sample is not None and sample.names == ARKIT_52
        np.testing.assert_allclose(sample.weights, weights, atol=1e-6)
    report = runs[0].report
    assert isinstance(report, TrackReport) and report.samples == report.with_face > 0
    assert runs[0].stopped and len(runs[0].messages) == 2
    assert json.loads((tmp_path / "run.json").read_text())["sent"][f"VMC to 127.0.0.1:{first}"]["sent"] > 0
    said = [str(notice) for notice in notices]
    assert said[:3] == [
        f"sending VMC to 127.0.0.1:{first}",
        f"sending Live Link Face to 127.0.0.1:{second}",
        "Live Link Face: starting ...",
    ]
    assert said[-1] == "stopped by the caller"


def test_the_time_ends_a_run_in_which_nothing_was_received() -> None:
    phone, receiver = free_ports(2)
    notices: list[Notice] = []
    options = jobs.TrackOptions(send=(f"vmc:{receiver}",), seconds=0.1)
    run = jobs.track(jobs.FaceOptions(listen=f"vmc:{phone}"), options, notify=notices.append)
    assert not run.stopped and run.report.to_text().endswith("0 samples (0.0 a second), 0 with a face")
    assert str(notices[-1]) == "nothing was received yet"


@pytest.mark.parametrize(
    ("source", "send", "sentence"),
    [
        (jobs.FaceOptions(), (), "--send is missing: give a protocol, such as --send vmc"),
        (jobs.FaceOptions(), ("foo:1",), "--send foo:1: unknown protocol 'foo'"),
        (jobs.FaceOptions(webcam="0", listen="vmc"), ("vmc",), "give one pose source"),
        (jobs.FaceOptions(webcam="none.mp4"), ("vmc",), "--webcam none.mp4: no such file"),
        (jobs.FaceOptions(loop=True), ("vmc",), "--loop repeats a video file"),
    ],
)
def test_what_is_refused(source: jobs.FaceOptions, send: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(HeadsplatError) as refused:
        jobs.track(source, jobs.TrackOptions(send=send))
    assert str(refused.value).startswith(sentence)
