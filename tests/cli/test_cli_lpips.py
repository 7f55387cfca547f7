"""The LPIPS network of `headsplat eval`: the named one, the one on this machine, or a line that says how to get one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from avatar.cli.progress import say
from avatar.errors import HeadsplatError
from avatar.jobs import lpips_network
from avatar.jobs.lpips_network import checked_network, named_file
from tests.avatar.training.parts.test_perceptual import small_lpips


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models, and no package `lpips`."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("HEADSPLAT_MODELS", str(folder))
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    found = importlib.util.find_spec
    monkeypatch.setattr(lpips_network, "find_spec", lambda name: None if name == "lpips" else found(name))
    return folder


def test_a_network_in_the_folder_of_models_is_found(models: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = small_lpips(models / "lpips_small.onnx")
    assert checked_network("auto", say) == path
    assert checked_network("none", say) is None


def test_without_a_network_there_is_none(models: Path) -> None:
    assert checked_network("auto", say) is None


def test_a_found_network_that_cannot_be_read_is_reported_and_left_out(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    (models / "lpips_x.onnx").write_bytes(b"no network")
    assert checked_network("auto", say) is None
    assert "LPIPS is not measured: " in capsys.readouterr().err


def test_a_missing_folder_of_models_is_reported_and_there_is_no_lpips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("HEADSPLAT_MODELS", str(tmp_path / "missing"))
    assert checked_network("auto", say) is None
    assert "missing: no such folder; create it or unset the variable" in capsys.readouterr().err


def test_a_named_network_that_cannot_be_read_is_an_error(models: Path) -> None:
    with pytest.raises(HeadsplatError, match="no such file; give an LPIPS network"):
        checked_network(str(models / "lpips_x.onnx"), say)


def test_a_network_of_the_package_needs_weights_that_were_downloaded(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lpips_network, "find_spec", lambda name: object() if name == "lpips" else None)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    assert lpips_network._installed() is None
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth").touch()
    assert lpips_network._installed() == "vgg"


@pytest.mark.parametrize(
    ("network", "file"), [("auto", None), ("none", None), ("alex", None), ("a.onnx", Path("a.onnx"))]
)
def test_only_files_are_named_files(network: str, file: Path | None) -> None:
    assert named_file(network) == file
