"""Options of jobs from Python: paths as texts, and the ranges and choices of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avatar import jobs
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import checked


def test_texts_become_paths_also_in_groups_and_in_lists() -> None:
    options = checked(jobs.RenderOptions(motion="take.csv", storage=jobs.EncodingOptions(audio="a.wav")))  # type: ignore[arg-type]
    assert options.motion == Path("take.csv") and options.storage.audio == Path("a.wav")
    assert checked(jobs.LiveOptions(record=("a.csv", "b.mp4"))).record == (Path("a.csv"), Path("b.mp4"))  # type: ignore[arg-type]
    assert checked(jobs.LiveOptions(record="a.csv")).record == (Path("a.csv"),)  # type: ignore[arg-type]
    assert checked(jobs.RenderOptions()) == jobs.RenderOptions()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (jobs.RenderOptions(fps=-5), "--fps: expected 0.01 to 1000, got -5"),
        (jobs.EvaluateOptions(size=1), "--size: expected 32 to 4096, got 1"),
        (jobs.LiveOptions(seconds=-1), "--seconds: expected more than 0"),
        (
            jobs.RenderOptions(motion_options=jobs.MotionOptions(pose="foo")),  # type: ignore[arg-type]
            "--pose: expected relative, absolute, still, got 'foo'",
        ),
        (jobs.TrainOptions(preset="best"), "--preset: expected fast, default"),  # type: ignore[arg-type]
    ],
)
def test_what_the_command_refuses_is_refused_here(options: Any, message: str) -> None:
    with pytest.raises(HeadsplatError, match=message):
        checked(options)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(HeadsplatError, match="--port: expected 0 to 65535"):
        jobs.live_page("me.avatar", port=port)
