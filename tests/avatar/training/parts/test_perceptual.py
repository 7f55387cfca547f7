"""The perceptual loss: networks from ONNX files with gradients, and a training with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.cli import main
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.evaluation.lpips import load_lpips
from avatar.head import load_head
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.parts.perceptual.loss import WEIGHT, PerceptualLoss
from avatar.training.parts.perceptual.onnx_graph import OnnxGraph

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")

LPIPS = Path(__file__).resolve().parents[5] / "shared" / "data" / "models" / "lpips_sq.onnx"


def write(path: Path, nodes: list[object], inputs: int = 2, constants: dict[str, np.ndarray] | None = None) -> Path:
    """An ONNX file whose inputs are images a, b, ... and whose output is `out`."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("abc"[i], kind, [1, 3, None, None]) for i in range(inputs)],
        [helper.make_tensor_value_info("out", kind, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), str(path))
    return path


def small_lpips(path: Path) -> Path:
    """A network with every operator of LPIPS networks: features of one convolution, unit length, squared difference."""
    node, rng = onnx.helper.make_node, np.random.default_rng(1)
    nodes = []
    for image in "ab":
        nodes += [
            node("Conv", [image, "weight", "bias"], [f"{image}1"], strides=[2, 2], pads=[1, 0, 1, 0], group=1),
            node("Relu", [f"{image}1"], [f"{image}2"]),
            node("MaxPool", [f"{image}2"], [f"{image}3"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            node("Concat", [f"{image}3", f"{image}3"], [f"{image}4"], axis=1),
            node("Pow", [f"{image}4", "two"], [f"{image}5"]),
            node("ReduceSum", [f"{image}5", "channels"], [f"{image}6"], keepdims=1),
            node("Sqrt", [f"{image}6"], [f"{image}7"]),
            node("Add", [f"{image}7", "tiny"], [f"{image}8"]),
            node("Div", [f"{image}4", f"{image}8"], [f"{image}9"]),
        ]
    nodes += [
        node("Sub", ["a9", "b9"], ["difference"]),
        node("Mul", ["difference", "difference"], ["square"]),
        node("ReduceMean", ["square", "image"], ["mean"], keepdims=0),
        node("ReduceSum", ["mean", "last"], ["sum"], keepdims=1),
        node("Identity", ["sum"], ["same"]),
        node("Reshape", ["same", "one"], ["out"]),
    ]
    constants = {
        "weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "bias": rng.normal(size=4).astype(np.float32),
        "two": np.float32(2.0).reshape(()),
        "tiny": np.float32(1e-3).reshape(()),
        "channels": np.array([1], np.int64),
        "image": np.array([2, 3], np.int64),
        "last": np.array([1], np.int64),
        "one": np.array([-1], np.int64),
    }
    return write(path, nodes, constants=constants)


def images(seed: int, size: int = 37) -> torch.Tensor:
    """A random image [H,W,3] in 0..1."""
    return torch.rand(size, size + 3, 3, generator=torch.Generator().manual_seed(seed))


def test_every_operator_gives_what_the_runtime_gives(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = small_lpips(tmp_path / "net.onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    a, b = (image.permute(2, 0, 1)[None].contiguous() for image in (images(1), images(2)))
    expected = session.run(None, {"a": a.numpy(), "b": b.numpy()})[0]
    np.testing.assert_allclose(OnnxGraph(path)(a, b).numpy(), expected, rtol=1e-4)


def test_the_gradient_is_that_of_finite_differences(tmp_path: Path) -> None:
    graph = OnnxGraph(small_lpips(tmp_path / "net.onnx")).to(torch.device("cpu"))
    graph._constants = {n: v.double() if v.is_floating_point() else v for n, v in graph._constants.items()}
    a, b = (image.permute(2, 0, 1)[None].double() for image in (images(1, 7), images(2, 7)))
    assert torch.autograd.gradcheck(lambda x: graph(x, b), a.requires_grad_(), nondet_tol=1e-9)


def test_equal_images_have_no_distance_and_finite_gradients(tmp_path: Path) -> None:
    loss = PerceptualLoss(small_lpips(tmp_path / "net.onnx"))
    image = torch.zeros(40, 40, 3).requires_grad_()
    value = loss(image, torch.zeros(40, 40, 3), np.random.default_rng(0))
    value.backward()
    assert value.item() == 0 and image.grad is not None and bool(image.grad.isfinite().all())


def test_the_loss_is_the_weighted_distance_of_the_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path, a, b = small_lpips(tmp_path / "net.onnx"), images(1, 128)[:, :128], images(2, 128)[:, :128]
    found = PerceptualLoss(path)(a, b, np.random.default_rng(0)).item()
    assert found == pytest.approx(WEIGHT * load_lpips(path).distance(a.numpy(), b.numpy()), rel=1e-3)


def test_a_real_network_gives_the_distance_of_the_evaluation() -> None:
    if not LPIPS.is_file():
        pytest.skip("the local models (../shared/data/models) are not on this machine")
    a, b = images(1, 128)[:, :128], images(2, 128)[:, :128]
    found = PerceptualLoss(LPIPS)(a, b, np.random.default_rng(0)).item()
    assert found == pytest.approx(WEIGHT * load_lpips(LPIPS).distance(a.numpy(), b.numpy()), rel=1e-3)


def test_training_with_the_loss_changes_the_last_third_only(tiny: Capture, tmp_path: Path) -> None:
    config = TrainConfig(size=64, steps=9, gaussians=500)
    network = str(small_lpips(tmp_path / "net.onnx"))
    plain, with_loss, again = (
        fit(tiny, load_head(), replace(config, perceptual=name)).avatar for name in ("", network, network)
    )
    assert with_loss.provenance["perceptual"] == network and "perceptual" not in plain.provenance
    assert torch.equal(with_loss.colors, again.colors) and not torch.equal(with_loss.colors, plain.colors)
    early = replace(config, steps=9000, max_seconds=1e-9)  # one step at the start of the schedule
    first, same = (fit(tiny, load_head(), replace(early, perceptual=name)).avatar for name in ("", network))
    assert torch.equal(first.colors, same.colors)


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no LPIPS network, and a part of the sentence about each."""
    node = onnx.helper.make_node
    text = folder / "text.onnx"
    text.write_text("not a network")
    one = write(folder / "one.onnx", [node("Relu", ["a"], ["out"])], inputs=1)
    strange = write(folder / "strange.onnx", [node("Erf", ["a"], ["c"]), node("Sub", ["c", "b"], ["out"])])
    image = write(folder / "image.onnx", [node("Sub", ["a", "b"], ["out"])])
    wrong = {"shape": np.array([7], np.int64)}
    broken = write(
        folder / "broken.onnx", [node("Sub", ["a", "b"], ["c"]), node("Reshape", ["c", "shape"], ["out"])], 2, wrong
    )
    return {
        "missing": (folder / "none.onnx", "no such file; give an LPIPS network in ONNX format to --perceptual"),
        "text": (text, "not a readable ONNX network"),
        "one": (one, "1 inputs, an LPIPS network has two images as inputs"),
        "strange": (strange, "it has the operators Erf, which the perceptual loss does not know"),
        "image": (image, "its output has 12288 values, an LPIPS network has one distance"),
        "broken": (broken, "it does not run as an LPIPS network"),
    }


@pytest.mark.parametrize("name", ["missing", "text", "one", "strange", "image", "broken"])
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    path, expected = bad_files(tmp_path)[name]
    with pytest.raises(HeadsplatError) as error:
        PerceptualLoss(path)
    assert str(error.value).startswith(f"{path}: ") and expected in str(error.value)


def test_the_command_line_refuses_a_missing_network(
    tiny: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(tiny.root), "-o", str(tmp_path / "me.avatar"), "--perceptual", str(tmp_path / "none.onnx")]
    assert main(command) == 1
    assert "none.onnx: no such file" in capsys.readouterr().err
    assert not (tmp_path / "me.avatar").exists()
