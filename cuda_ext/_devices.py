"""Whether this machine's devices can run the compiled CUDA code, and a message with the remedy when not."""

from __future__ import annotations

import re
from typing import NamedTuple


class DeviceState(NamedTuple):
    """Versions and devices reported by the driver."""

    runtime: int
    """version of the CUDA runtime in the module: 1000 major + 10 minor"""
    driver: int
    """newest CUDA version that the driver supports, in the same encoding; 0 without a driver"""
    devices: list[tuple[int, int]]
    """compute capability (major, minor) of each device"""
    error: str
    """CUDA's error message when the devices cannot be listed"""


def runs_on(architectures: str, capability: tuple[int, int]) -> bool:
    """Whether code compiled for `architectures` (CMake's names) runs on a device of this compute capability.

    Machine code ("real") runs on devices of the same major and an equal or higher minor version; PTX ("virtual") runs
    on all later devices. Names without a number ("native", "all") are assumed to match.
    """
    for name in architectures.split():
        found = re.fullmatch(r"(\d+)(\d)[a-z]?(-real|-virtual)?", name)
        if found is None:
            return True
        compiled = (int(found[1]), int(found[2]))
        kind = found[3]
        if kind != "-virtual" and compiled[0] == capability[0] and compiled <= capability:
            return True
        if kind != "-real" and compiled <= capability:
            return True
    return False


def problem(architectures: str, state: DeviceState | None) -> str:
    """Why no CUDA kernel can run and the remedy, in one sentence; empty when they can.

    `state` is None when no CUDA code was compiled in.
    """
    if state is None:
        return (
            "This build has no CUDA kernels; install the CUDA toolkit (nvcc) and reinstall headsplat to get them, "
            "or use the CPU."
        )
    if state.driver == 0:
        return "No NVIDIA driver is installed; install one to use the CUDA kernels, or use the CPU."
    if state.driver // 1000 < state.runtime // 1000:
        return (
            f"The NVIDIA driver supports CUDA up to {_version(state.driver)} and the kernels require "
            f"{_version(state.runtime)}; update the driver, or use the CPU."
        )
    if not state.devices:
        detail = f" ({state.error})" if state.error else ""
        return f"The NVIDIA driver finds no usable device{detail}; check `nvidia-smi`, or use the CPU."
    if not any(runs_on(architectures, device) for device in state.devices):
        found = ", ".join(f"{major}.{minor}" for major, minor in state.devices)
        return (
            f"No device (compute capability {found}) can run the compiled architectures ({architectures}); reinstall "
            "headsplat with the environment variable CUDAARCHS naming yours, or use the CPU."
        )
    return ""


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
