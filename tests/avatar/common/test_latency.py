"""The latency meter."""

from __future__ import annotations

import json

import pytest

from avatar.common.latency import LatencyMeter


def metered(count: int = 101, kept: int = 1000) -> LatencyMeter:
    """Frames 40 ms apart; landmarks take 10 ms, the fit 0 to 5 ms."""
    meter = LatencyMeter(kept)
    for k in range(count):
        start = 0.04 * k
        meter.add({"camera": start, "landmarks": start + 0.01, "fit": start + 0.01 + 0.005 * k / 100})
    return meter


def test_each_stage_is_timed_from_the_one_before() -> None:
    landmarks, fit = metered().report().stages
    assert (landmarks.stage, landmarks.p50) == ("landmarks", pytest.approx(10))
    assert (fit.p50, fit.p95, fit.worst) == (pytest.approx(2.5), pytest.approx(4.75), pytest.approx(5))


def test_total_latency_and_frame_rate_are_reported() -> None:
    report = metered().report()
    assert report.total is not None
    assert (report.total.stage, report.total.worst) == ("camera to fit", pytest.approx(15))
    assert report.rate == pytest.approx(25, rel=0.01)
    assert report.mean_rate == pytest.approx(25, rel=0.01)


def test_memory_is_bounded_and_frames_are_still_counted() -> None:
    meter = metered(kept=10)
    assert (len(meter._rows), meter.report().frames) == (10, 101)


def test_the_report_as_json_and_text() -> None:
    report = metered().report()
    assert json.loads(json.dumps(report.to_json()))["stages"][0]["stage"] == "landmarks"
    assert "25.0 fps" in report.to_text()
    assert LatencyMeter().report().to_text() == "no frames"


def test_the_newest_totals_come_oldest_first() -> None:
    assert metered().totals(3) == pytest.approx((14.9, 14.95, 15))
    assert len(metered(2).totals(300)) == 2
    assert LatencyMeter().totals(3) == ()


def test_latencies_of_the_newest_frames_only() -> None:
    total, newest = metered().report().total, metered().report(3)
    assert total is not None and newest.total is not None
    assert newest.total.p50 == pytest.approx(14.95) and total.p50 < 14 and newest.frames == 101
