"""The LPIPS network of `headsplat eval`: the one that was named, or the one on this machine; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from avatar.errors import HeadsplatError

AUTO = "auto"
NONE = "none"
#: Networks of the package `lpips` with the weights of their backbones in the folder of PyTorch Hub.
BACKBONES = {"alex": "alexnet-*.pth", "vgg": "vgg16-*.pth", "squeeze": "squeezenet1_1-*.pth"}


def named_file(network: str) -> Path | None:
    """The ONNX file that `--lpips` names, if it names one."""
    return None if network in (AUTO, NONE, *BACKBONES) else Path(network)


def checked_network(network: str, say: Callable[[str], None]) -> str | Path | None:
    """The network for `avatar.evaluate`, which can be loaded; None: no LPIPS.

    Args:
        network: AUTO, NONE, a network of the package `lpips`, or an ONNX file.
        say: receives why nothing is measured with AUTO.

    Raises:
        HeadsplatError: the named network cannot be loaded. With AUTO that, or a missing folder of models, is reported,
            and there is no LPIPS.
    """
    if network == NONE:
        return None
    from avatar.evaluation.lpips import load_lpips

    try:
        chosen = _installed() if network == AUTO else named_file(network) or network
        if chosen is not None:
            load_lpips(chosen)
    except HeadsplatError as error:
        if network != AUTO:
            raise
        say(f"LPIPS is not measured: {error}")
        return None
    return chosen


def _installed() -> str | Path | None:
    """An ONNX file in the folders of models, else a network of the package whose backbone was downloaded before."""
    from capture.networks.models import model_folders

    if find_spec("onnxruntime"):
        for folder in model_folders():
            for path in sorted(folder.glob("lpips*.onnx")):
                return path
    if find_spec("lpips"):
        import torch

        stored = Path(torch.hub.get_dir()) / "checkpoints"
        return next((name for name, weights in BACKBONES.items() if any(stored.glob(weights))), None)
    return None
