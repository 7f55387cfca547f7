"""LPIPS networks of the package `lpips` (Zhang et al. 2018)."""

from __future__ import annotations

import contextlib
import io
import warnings

import torch

from avatar.errors import HeadsplatError

#: Networks of the package.
PACKAGE_NETWORKS = ("alex", "vgg", "squeeze")


def package_module(name: str, option: str) -> torch.nn.Module:
    """A network of the package `lpips` as a module of two images [1,3,H,W].

    Args:
        name: one of PACKAGE_NETWORKS.
        option: of the command line, that named it.

    Raises:
        HeadsplatError: the package or the weights are missing.
    """
    try:
        import lpips
    except ImportError as error:
        raise HeadsplatError(
            f"{option} {name}: the package lpips is not installed; install it with `pip install 'headsplat[lpips]'`, "
            "or give an LPIPS network as ONNX file"
        ) from error
    except RuntimeError as error:  # torchvision of another build than PyTorch
        raise HeadsplatError(
            f"{option} {name}: the package lpips cannot be loaded ({error}); install the torchvision that belongs to "
            "this PyTorch, or give an LPIPS network as ONNX file"
        ) from error
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            network: torch.nn.Module = lpips.LPIPS(net=name, verbose=False).eval()
            return network
    except OSError as error:  # torchvision downloads the weights of the backbone at the first use
        raise HeadsplatError(
            f"{option} {name}: torchvision could not download the weights of the network ({error}); run it once with a "
            "network connection, or give an LPIPS network as ONNX file"
        ) from error
