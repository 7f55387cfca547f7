"""Whether the compiled CUDA code and this machine's devices fit, and the sentence that says what to do when not."""

from __future__ import annotations

import re
from typing import NamedTuple


class DeviceState(NamedTuple):
    """What the driver says about this machine."""

    runtime: int
    """version of the CUDA runtime in the module, 1000 major + 10 minor"""
    driver: int
    """newest CUDA version the driver can run, counted the same way; 0 without a driver"""
    devices: list[tuple[int, int]]
    """compute capability (major, minor) of each device"""
    error: str
    """CUDA's own words when the devices cannot be listed"""


def runs_on(architectures: str, capability: tuple[int, int]) -> bool:
    """Whether code compiled for `architectures` (CMake's names) runs on a device of this compute capability.

    Machine code ("real") runs on its own generation from its minor version on; intermediate code ("virtual") on
    everything later. Names that are no numbers ("native", "all") are taken at their word.
    """
    for name in architectures.split():
        found = re.fullmatch(r"(\d+)(\d)[a-z]?(-real|-virtual)?", name)
        if found is None:
            return True
        compiled, kind = (int(found[1]), int(found[2])), found[3]
        if kind != "-virtual" and compiled[0] == capability[0] and compiled <= capability:
            return True
        if kind != "-real" and compiled <= capability:
            return True
    return False


def problem(architectures: str, state: DeviceState | None) -> str:
    """Why no CUDA kernel can run, and what to do about it, in one sentence; empty when they can.

    `state` is None when no CUDA code was compiled in.
    """
    if state is None:
        return (
            "This build has no CUDA kernels; install the CUDA toolkit (nvcc) and reinstall headsplat to get them, "
            "or use the CPU."
        )
    if state.driver == 0:
        return "No NVIDIA driver is on this machine; install one to use the CUDA kernels, or use the CPU."
    if state.driver // 1000 < state.runtime // 1000:
        return (
            f"The NVIDIA driver runs CUDA up to {_version(state.driver)} and the kernels need "
            f"{_version(state.runtime)}; update the driver, or use the CPU."
        )
    if not state.devices:
        said = f" ({state.error})" if state.error else ""
        return f"The NVIDIA driver finds no usable device{said}; check `nvidia-smi`, or use the CPU."
    if not any(runs_on(architectures, device) for device in state.devices):
        found = ", ".join(f"{major}.{minor}" for major, minor in state.devices)
        return (
            f"No device here (compute capability {found}) runs the compiled architectures ({architectures}); reinstall "
            "headsplat with the environment variable CUDAARCHS naming yours, or use the CPU."
        )
    return ""


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
