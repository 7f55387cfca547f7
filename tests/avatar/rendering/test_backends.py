"""gsplat instead of the native kernels: equal images on a GPU, correct arguments and error messages everywhere."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor

from avatar import cli, ops
from avatar.common.toml_config import load_config
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import SH_C0
from avatar.rendering import backends
from avatar.rendering.render import render
from avatar.training.config import TrainConfig
from avatar.types import Camera, Gaussians
from tests.avatar.ops.splat_scenes import camera, scene

BACKGROUND = (0.2, 0.7, 0.4)


def cloud(batch: int = 2, count: int = 60, terms: int = 1) -> Gaussians:
    means, quats, scales, opacities, colors = scene(batch, count)
    quats = torch.nn.functional.normalize(quats, dim=-1)
    rest = 0.3 * torch.randn(batch, count, terms - 1, 3, generator=torch.Generator().manual_seed(5))
    return Gaussians(means, quats, scales, opacities, torch.cat([((colors - 0.5) / SH_C0)[:, :, None], rest], 2))


def rasterization(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, **options: Any,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """gsplat's function of this name, computed by the native kernels: one set of Gaussians, one camera."""
    assert not options["packed"] and len(viewmats) == 1
    assert colors.shape[1] == (options["sh_degree"] + 1) ** 2
    inputs = [value[None] for value in (means, quats, scales, opacities, colors)]
    view = Camera(Ks, viewmats, width, height)
    out = ops.splat(*inputs, view, near=options["near_plane"], dilation=options["eps2d"])  # type: ignore[arg-type]
    image = torch.cat([out.rgb, out.depth[..., None]], -1) if options["render_mode"] == "RGB+ED" else out.rgb
    return image, out.alpha[..., None], {}


@pytest.fixture
def fake_gsplat(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("gsplat")
    module.__version__ = "1.5.3"  # type: ignore[attr-defined]
    module.rasterization = rasterization  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gsplat", module)
    monkeypatch.setattr(backends, "_cuda_device", lambda: torch.device("cpu"))
    return module


@pytest.mark.usefixtures("fake_gsplat")
@pytest.mark.parametrize("terms", [1, 16])
def test_gsplat_is_called_for_each_image_and_composited_over_the_background(terms: int) -> None:
    ours, theirs = (render(cloud(terms=terms), camera(2), BACKGROUND, name) for name in ("native", "gsplat"))
    for name in ("rgb", "alpha", "depth"):
        torch.testing.assert_close(getattr(theirs, name), getattr(ours, name))


@pytest.mark.usefixtures("fake_gsplat")
@pytest.mark.parametrize("name", ["native", "gsplat"])
@pytest.mark.parametrize("with_depth", [True, False])
def test_rasterizing_into_buffers_gives_the_differentiable_output(name: Any, with_depth: bool) -> None:
    backend, gaussians, view = backends.backend_of(name), cloud(), camera(2)
    expected = backend.rasterize(gaussians, view, with_depth=with_depth)
    buffers = ops.splat_buffers(2, len(gaussians), view.width, view.height, with_depth=with_depth)
    found, _ = backend.rasterize_into(buffers, gaussians, view)
    assert torch.equal(found.rgb, expected.rgb) and torch.equal(found.alpha, expected.alpha)
    assert (found.depth is None) == (expected.depth is None) == (not with_depth)
    if found.depth is not None and expected.depth is not None:
        torch.testing.assert_close(found.depth, expected.depth)


def test_only_the_native_backend_blends_features() -> None:
    assert backends.backend_of("native").blends_features and not backends.backend_of("gsplat").blends_features
    with pytest.raises(HeadsplatError, match="gsplat blends colors only; leave --rasterizer gsplat out"):
        backends.backend_of("gsplat").blend_features(None, torch.zeros(1, 2, 3))


def test_an_unknown_rasterizer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HeadsplatError, match="rasterizer: expected one of native, own, gsplat, got 'vulkan'"):
        render(cloud(), camera(2), rasterizer="vulkan")  # type: ignore[arg-type]


@pytest.mark.usefixtures("fake_gsplat")
def test_without_depth_gsplat_renders_colors_only() -> None:
    rgb, alpha, depth = backends.backend_of("gsplat").rasterize(cloud(), camera(2), with_depth=False)
    assert (rgb.shape, alpha.shape, depth) == ((2, 37, 49, 3), (2, 37, 49), None)


@pytest.mark.parametrize(("found", "fits"), [("1.4.0", False), ("1.5.0rc1", True), ("1.10.2", True), ("2.0", True)])
def test_gsplat_before_1_5_is_refused_with_its_version(fake_gsplat: types.ModuleType, found: str, fits: bool) -> None:
    fake_gsplat.__version__ = found  # type: ignore[attr-defined]
    if fits:
        backends.backend_of("gsplat").check()
        return
    with pytest.raises(HeadsplatError, match=r"gsplat 1\.4\.0 is too old for headsplat; `pip install 'gsplat>=1\.5'`"):
        backends.backend_of("gsplat").check()


def test_missing_gsplat_is_an_error_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", None)
    monkeypatch.setattr(backends, "_cuda_device", lambda: torch.device("cpu"))
    with pytest.raises(HeadsplatError, match=r"gsplat is not installed .*; `pip install 'gsplat>=1\.5'`"):
        render(cloud(), camera(2), rasterizer="gsplat")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize(
    "arguments",
    [
        ["render", "me.avatar", "--motion", "c", "-o", "out.mp4"],
        ["eval", "me.avatar", "c"],
        ["train", "c", "-o", "me.avatar"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_gsplat_without_a_cuda_device_ends_every_command_at_once_with_a_message(
    arguments: list[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*arguments, "--rasterizer", "gsplat"]) == 1
    message = "gsplat needs a CUDA device and torch finds none; leave --rasterizer out, or see `headsplat doctor`"
    assert capsys.readouterr().err == f"headsplat: {message}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_rasterizer_of_a_training_comes_from_its_configuration_file(tmp_path: Any) -> None:
    (tmp_path / "my.toml").write_text('rasterizer = "gsplat"\n')
    assert load_config(tmp_path / "my.toml", TrainConfig()).rasterizer == "gsplat"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.skipif(importlib.util.find_spec("gsplat") is None, reason="needs gsplat (pip install gsplat)")
@pytest.mark.parametrize("terms", [1, 16])
def test_gsplat_on_the_gpu_agrees_with_the_native_kernels_in_image_and_gradient(terms: int) -> None:
    results = []
    for name in ("native", "gsplat"):
        leaves = [value.clone().requires_grad_() for value in vars(cloud(count=400, terms=terms)).values()]
        out = render(Gaussians(*leaves), camera(2, 160, 120, focal=190.0), BACKGROUND, name)  # type: ignore[arg-type]
        results.append((out, torch.autograd.grad(out.rgb.square().sum(), leaves)))
    (ours, our_gradients), (theirs, their_gradients) = results
    assert -10 * (theirs.rgb - ours.rgb).square().mean().log10() > 50
    solid = ours.alpha > 0.5
    assert (theirs.depth - ours.depth)[solid].abs().median() < 1e-4
    for found, expected in zip(their_gradients, our_gradients, strict=True):
        # Pixels at the cutoff may fall on either side of it.
        assert (found - expected).norm() < 0.02 * expected.norm()
