"""The acoustic model and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.speech.acoustic import (
    FILE,
    LOOKAHEAD,
    MAGIC,
    VERSION,
    AcousticStream,
    acoustic_model,
    load_acoustic_model,
)
from avatar.performance.speech.features import BANDS
from avatar.performance.speech.phones import PHONES
from tests.support.sounds import log_probabilities


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(0).normal(-9, 4, (frames, BANDS)).astype(np.float32)


def test_probabilities_sum_to_one_in_every_frame() -> None:
    found = log_probabilities(noise(70))
    assert found.shape == (70, len(PHONES))
    assert np.exp(found).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_parts_of_any_size_give_what_the_whole_gives() -> None:
    sound = noise(123)
    stream = AcousticStream()
    parts = [stream.push(part) for part in np.split(sound, [0, 1, 2, 3, 50, 51, 119])] + [stream.finish()]
    assert np.concatenate(parts)[LOOKAHEAD:] == pytest.approx(log_probabilities(sound), abs=1e-4)


def test_the_future_beyond_the_lookahead_changes_nothing() -> None:
    sound, other = noise(100), noise(100)
    other[60:] = 0
    assert log_probabilities(sound)[: 60 - LOOKAHEAD] == pytest.approx(
        log_probabilities(other)[: 60 - LOOKAHEAD], abs=1e-5
    )


def test_silence_is_silence() -> None:
    assert (log_probabilities(np.full((100, BANDS), -16.1, np.float32)).argmax(axis=1) == 0).all()


def test_the_file_is_small() -> None:
    assert FILE.stat().st_size < 500_000
    assert sum(weights.size for weights in acoustic_model().weights) < 300_000


def test_a_missing_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"the acoustic model cannot be used \(.*\); install headsplat again"):
        load_acoustic_model(tmp_path / "acoustic.npz")


@pytest.mark.parametrize("change", ["magic", "version", "missing", "shape", "cut"])
def test_another_file_is_no_model(tmp_path: Path, change: str) -> None:
    with np.load(FILE) as archive:
        arrays = dict(archive)
    if change == "magic":
        arrays["magic"] = np.array("other")
    elif change == "version":
        arrays["version"] = np.array(VERSION + 1)
    elif change == "missing":
        del arrays["bias_out"]
    elif change == "shape":
        arrays["weights_2"] = arrays["weights_2"][:-1]
    path = tmp_path / "acoustic.npz"
    np.savez(path, **arrays)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(HeadsplatError, match="acoustic model cannot be used"):
        load_acoustic_model(path)


def test_the_file_says_what_it_is() -> None:
    with np.load(FILE) as archive:
        assert archive["magic"] == MAGIC and tuple(archive["phones"]) == PHONES
