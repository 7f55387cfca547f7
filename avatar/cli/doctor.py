"""`headsplat doctor`: installed and missing components of this machine and the commands that install them."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from avatar import __version__
from avatar.cli.info import as_text
from avatar.common.processes import usable_cores
from avatar.errors import HeadsplatError
from avatar.jobs.inspection import model_files
from avatar.jobs.option_types import OptionalText
from avatar.rendering.backends import INSTALL as INSTALL_GSPLAT

#: import name -> distribution, installation command, purpose
OPTIONAL_PACKAGES = {
    "onnxruntime": ("onnxruntime", "pip install onnxruntime", "LPIPS in `headsplat eval`"),
    "smplx": ("smplx", "pip install smplx", "parity of our skinning with SMPL-X (non-commercial license)"),
    "pyvirtualcam": (
        "pyvirtualcam",
        "pip install pyvirtualcam",
        "the avatar as a camera in video calls (GPL, never bundled)",
    ),
    "websockets": ("websockets", "pip install websockets", "the pages of `headsplat live --web` and `film --web`"),
    "pocketsphinx": (
        "pocketsphinx",
        "pip install 'headsplat[speech]'",
        "the phones of a text in `headsplat motion speak --text`",
    ),
    "sounddevice": (
        "sounddevice",
        "pip install 'headsplat[speech]'",
        "the microphone of `headsplat live --microphone`",
    ),
    "ray": (
        "ray",
        "pip install 'headsplat[fleet]'",
        "`headsplat fleet`: many people or films, on all cores or a cluster",
    ),
    "gsplat": ("gsplat", INSTALL_GSPLAT, "a second rasterizer on CUDA"),
    "nvdiffrast": (
        "nvdiffrast",
        "pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast",
        "rasterizer of meshes on CUDA (license: research and evaluation only)",
    ),
    "tinycudann": (
        "tinycudann",
        "pip install --no-build-isolation 'git+https://github.com/NVlabs/tiny-cuda-nn#subdirectory=bindings/torch'",
        "networks of a training on CUDA",
    ),
}
if sys.version_info < (3, 14):  # Python's own from then on
    OPTIONAL_PACKAGES["zstandard"] = ("zstandard", "pip install zstandard", "smaller .spz files of `headsplat export`")
CORE_PACKAGES = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "cv2": "opencv-python-headless",
    "av": "av",
    "ai_edge_litert": "ai-edge-litert",
    "flatbuffers": "flatbuffers",
    "safetensors": "safetensors",
    "tyro": "tyro",
    "rich": "rich",
    "moderngl": "moderngl",
    "glfw": "glfw",
}
if sys.version_info >= (3, 11):  # there are no wheels for 3.10; reported by `_window`
    CORE_PACKAGES["imgui_bundle"] = "imgui-bundle"
CODECS = ("h264", "hevc", "vp9", "av1", "prores", "mjpeg")
ENCODERS = ("libx264", "libx265", "prores_ks", "libvpx-vp9")


@dataclass(frozen=True)
class DoctorCommand:
    """Check this machine: what works, what is missing and how to install it."""

    device: OptionalText = None
    """cuda or cuda:N: run the self-check of this GPU, and nothing else"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Print the findings; the exit code is 1 if a required component is missing or the GPU fails."""
        if self.device is not None:
            return _check_device(self.device, self.json)
        findings = examine()
        print(json.dumps(findings, indent=2) if self.json else as_text(findings))
        return 0 if findings["ready"] else 1


def _check_device(name: str, as_json: bool) -> int:
    """Run the self-check of a GPU, keep the result and print its table; the exit code."""
    from avatar.ops.device_proof import record
    from avatar.ops.devices import gpu
    from avatar.ops.packages import check_again
    from avatar.ops.self_check import self_check

    try:
        device = gpu(name)
    except HeadsplatError as error:
        raise HeadsplatError(f"--{error}") from error
    rows = self_check(device)
    failure = record(device, rows)
    packages = {} if failure else check_again(device)
    if as_json:
        table = [
            {
                "op": row.op, "error": row.error if math.isfinite(row.error) else None, "tolerance": row.tolerance,
                "same_bits": row.same_bits, "result": row.result,
            }
            for row in rows
        ]  # fmt: skip
        found = {"device": str(device), "passed": not failure, "failure": failure, "ops": table, "packages": packages}
        print(json.dumps(found, indent=2))
    else:
        print(f"{'op':32} {'largest error':>13} {'tolerance':>9}  same bits  result")
        for row in rows:
            bits = "yes" if row.same_bits else "no"
            print(f"{row.op:32} {row.error:13.1e} {row.tolerance:9.0e}  {bits:9}  {row.result}")
        for name, state in packages.items():
            print(f"{name}: {state}")
        print(failure or f"{device} passes the self-check")
    return 1 if failure else 0


def examine() -> dict[str, Any]:
    """All findings in JSON types; a check that fails does not stop the others."""
    core = {
        name: _package(name, distribution, f"pip install {distribution}")
        for name, distribution in CORE_PACKAGES.items()
    }
    findings: dict[str, Any] = {
        "headsplat": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": usable_cores(),
        "native_kernels": _attempt(_native),
        "cuda": _attempt(_cuda),
        "cuda_kernels": _attempt(_cuda_kernels),
        "cuda_packages": _attempt(_cuda_packages),
        "cuda_window": _attempt(_cuda_window),
        "packages": core,
        "optional": {name: _package(name, found, how, use) for name, (found, how, use) in OPTIONAL_PACKAGES.items()},
        "models": _attempt(model_files),
        "video": _attempt(_video),
        "window": _attempt(_window),
    }
    complete = all("missing" not in text for text in core.values())
    findings["ready"] = complete and findings["native_kernels"].startswith("yes") and sys.version_info >= (3, 10)
    return findings


def _attempt(check: Callable[[], Any]) -> Any:
    try:
        return check()
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"


def _package(name: str, distribution: str, command: str, use: str = "") -> str:
    if importlib.util.find_spec(name) is None:
        return f"missing{f' ({use})' if use else ''}; `{command}`"
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "present"


def _native() -> str:
    import cuda_ext

    return f"{'yes' if cuda_ext.available('cpu') else 'no'}: {cuda_ext.reason('cpu')}"


def _cuda() -> str:
    import torch

    if torch.cuda.is_available():
        return f"yes: {torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"
    if torch.version.cuda is None:
        return f"no: torch {torch.__version__} is a CPU build; everything runs on the CPU"
    return f"no: torch {torch.__version__} has CUDA {torch.version.cuda} but finds no usable GPU or driver"


def _cuda_kernels() -> str:
    import cuda_ext

    compiled = cuda_ext.cuda_architectures()
    built = f" Compiled in: {compiled}." if compiled and not cuda_ext.available("cuda") else ""
    return f"{'yes' if cuda_ext.available('cuda') else 'no'}: {cuda_ext.reason('cuda')}{built}"


def _cuda_packages() -> dict[str, str]:
    """What computes in place of our kernels on the first GPU, and why not; checks nothing."""
    from avatar.ops.packages import PACKAGES, state_of

    device = _first_gpu()
    return {name: f"{what}: {state_of(name, device)}" for name, what in PACKAGES.items()}


def _cuda_window() -> str:
    """How images of the first GPU come to a window; checks nothing."""
    from avatar.ops.shared_buffer import state_of

    return state_of(_first_gpu())


def _first_gpu() -> Any:
    """The first GPU that our kernels can use; None where there is none."""
    from avatar.ops.devices import gpu

    try:
        return gpu("cuda")
    except HeadsplatError:
        return None


def _window() -> str:
    """Whether a window can open, from the environment only: opening one is slow and may crash the process."""
    if importlib.util.find_spec("imgui_bundle") is None:
        old = sys.version_info < (3, 11)
        return f"no: imgui-bundle is missing; {'it needs Python 3.11' if old else '`pip install imgui-bundle`'}"
    if not sys.platform.startswith("linux"):
        return "yes"
    found = [f"{name}={os.environ[name]}" for name in ("WAYLAND_DISPLAY", "DISPLAY") if os.environ.get(name)]
    if found:
        return f"yes: {', '.join(found)}"
    return (
        "no: neither DISPLAY nor WAYLAND_DISPLAY is set, so no window can open (`xvfb-run headsplat ...` provides a "
        "virtual display)"
    )


def _video() -> dict[str, Any]:
    import av

    return {
        "pyav": av.__version__,
        "decoders": [name for name in CODECS if _has_codec(name, "r")],
        "encoders": [name for name in ENCODERS if _has_codec(name, "w")],
    }


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    import av

    try:
        av.codec.Codec(name, mode)
    except (av.FFmpegError, ValueError):
        return False
    return True
