"""`headsplat bench`: the time of weights -> pixels and of a training step on this machine."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from avatar.cli.progress import stage
from avatar.common.files import write_text
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import Device, OptionalInt, OptionalPath
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.parsing import requested_device

if TYPE_CHECKING:
    import torch

    from avatar.bench import Grid
    from avatar.model.avatar import Avatar
    from avatar.types import Camera

WRITERS = {".json": "to_json", ".md": "to_markdown"}
CPU_BATCHES = (1, 8)
#: Many more threads than cores only wait for each other: 1024 on two cores take minutes for one image.
MAX_THREADS = max(64, 4 * (os.cpu_count() or 1))
Numbers = Annotated[tuple[int, ...] | None, arg(metavar="INT [INT ...]")]


@dataclass(frozen=True)
class BenchCommand:
    """Time the kernels on a synthetic head, one axis at a time; prints Markdown tables."""

    full: bool = False
    """measure every combination of the values instead of one axis at a time: hours on a CPU"""
    avatar: OptionalPath = None
    """time this .avatar file too"""
    device: Device = "auto"
    """auto: the first GPU, if native kernels can run there, else the CPU"""
    threads: Annotated[OptionalInt, Between(1, MAX_THREADS)] = None
    """threads of the CPU kernels; default: all cores of this process"""
    seconds: Annotated[float, Between(0, 3600)] = 0.7
    """duration of each measurement on the CPU"""
    counts: Annotated[Numbers, Between(1, 2_000_000)] = None
    """numbers of Gaussians; default: 20000 50000 100000 200000"""
    sizes: Annotated[Numbers, Between(1, 4096)] = None
    """image sizes in pixels; default: 512 1024"""
    batches: Annotated[Numbers, Between(1, 1024)] = None
    """batch sizes; default: 1 8, with --full and on a GPU also 64"""
    sh: Annotated[Numbers, Between(0, 3)] = None
    """degrees of the spherical harmonics; default: 0 3"""
    bases: Annotated[Numbers, Between(1, 1000)] = None
    """numbers of blendshapes; default: 20 50"""
    out: Annotated[tuple[Path, ...], arg(aliases=["-o"], metavar="PATH [PATH ...]")] = ()
    """files to write: .md for the tables, .json for all numbers"""
    json: bool = False
    """print JSON instead of tables"""
    overwrite: bool = False
    """replace files that exist"""

    def run(self) -> int:
        """Measure, print and write; returns the exit code, 1 if a required comparison failed."""
        self._check()
        with reserved([Output(path) for path in self.out], [self.avatar], overwrite=self.overwrite):
            return self._measure()

    def _measure(self) -> int:
        from avatar.bench import run_bench
        from avatar.bench.timing import CPU_EFFORT, CUDA_EFFORT
        from avatar.ops.backend import kernels_on_threads

        device = requested_device(self.device)
        effort = CUDA_EFFORT if device.type == "cuda" else dataclasses.replace(CPU_EFFORT, seconds=self.seconds)
        subject = None if self.avatar is None else load_subject(self.avatar)
        with kernels_on_threads(self.threads), stage("benchmark") as update:
            report = run_bench(
                self._grid(device), full=self.full, device=device, avatar=subject, effort=effort, progress=update
            )
        for path in self.out:
            write_text(path, getattr(report, WRITERS[path.suffix])() + "\n")
        print(report.to_json() if self.json else report.to_markdown())
        return 1 if report.failed else 0

    def _check(self) -> None:
        for path in self.out:
            if path.suffix not in WRITERS:
                raise HeadsplatError(f"{path}: cannot write {path.suffix or 'this'}; give names in .md or .json to -o")

    def _grid(self, device: torch.device) -> Grid:
        from avatar.bench import Grid

        given: dict[str, Any] = {name: getattr(self, name) for name in ("counts", "sizes", "batches", "sh", "bases")}
        if self.batches is None and device.type == "cpu" and not self.full:
            given["batches"] = CPU_BATCHES
        try:
            return Grid(**{name: values for name, values in given.items() if values is not None})
        except ValueError as error:
            raise HeadsplatError(f"--{error}") from error


def load_subject(path: Path) -> tuple[str, Avatar, Callable[[int], Camera]]:
    """Name and avatar of a file, and a function from image size to its stored camera."""
    from avatar.jobs.render_inputs import stored_camera
    from avatar.model.avatar_file import read_avatar
    from avatar.rendering.cameras import fit_camera

    header, avatar = read_avatar(path)
    if "capture" not in header:
        raise HeadsplatError(f"{path}: has no camera of its capture; train it again with this version of headsplat")
    camera = stored_camera(header["capture"])
    return path.name, avatar, lambda size: fit_camera(camera, size, size)
