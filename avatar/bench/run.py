"""The measurements of a benchmark run.

Timing of gsplat's rasterizer on the same tensors, after a check that both give the same image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar import ops
from avatar.bench.report import Part, Report, Row, describe_machine
from avatar.bench.scene import Scene, avatar_scene, head_scene
from avatar.bench.stages import RenderPath, TrainingStep, gaussians
from avatar.bench.timing import CPU_EFFORT, CUDA_EFFORT, Effort, Timing, cuda_graph, measure, split
from avatar.bench.trainer_step import TrainerStep
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.ops.backend import native_for
from avatar.rendering.backends import backend_of
from avatar.types import Camera, Gaussians

STEP_BATCHES = (1, 4)
DEFAULT_COUNT = 50_000
#: Limits of a scene against running out of memory: Gaussians times blendshapes, and pixels of a batch.
MAX_BASIS = 50_000_000
MAX_BATCH_PIXELS = 1 << 27
PARTS = {
    "prepare": "project, sort, tiles",
    "rasterize": "raster forward",
    "splat_backward": "raster and projection backward",
    "rendered_loss": "image, loss and all their gradients",
    "rest": "everything else (PyTorch, Python)",
    "all": "whole step with these timers",
}
#: Called with the finished fraction 0..1 and a short text.
Progress = Callable[[float, str], None]

MIN_PSNR = 50.0  # dB
Add = Callable[[Part, str, Callable[[], object], int], None]


def psnr(found: Tensor, expected: Tensor) -> float:
    """PSNR in dB of images in 0..1."""
    error = float((found - expected).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def compare_with_gsplat(scene: Scene, report: Report, add: Add) -> None:
    """Time both rasterizers, forward alone and with backward; adds a note where gsplat is missing or differs."""
    gsplat = backend_of("gsplat")
    try:
        gsplat.check()
    except HeadsplatError as error:
        note = f"Not compared with gsplat: {error}."
        if note not in report.notes:
            report.notes.append(note)
        return
    with torch.no_grad():
        inputs = gaussians(scene, ops.blend(None, scene.basis, scene.weights))
    leaves = [value.contiguous().requires_grad_() for value in inputs]

    def ours() -> Tensor:
        means, quats, scales, opacities, colors = leaves
        return ops.splat(means, quats, scales, opacities, colors, scene.camera, with_depth=False).rgb

    def theirs() -> Tensor:
        means, quats, scales, opacities, sh = leaves
        return gsplat.rasterize(Gaussians(means, quats, scales, opacities, sh), scene.camera, with_depth=False).rgb

    decibels = psnr(theirs().detach(), ours().detach())
    if not decibels > MIN_PSNR:
        report.failed = True
        report.notes.append(f"{scene.count} Gaussians: gsplat's image differs, PSNR {decibels:.1f} dB; not timed.")
        return
    gradient = torch.ones_like(ours())
    for name, splat in (("headsplat", ours), ("gsplat", theirs)):

        def forward(splat: Callable[[], Tensor] = splat) -> None:
            with torch.no_grad():
                splat()

        def both_ways(splat: Callable[[], Tensor] = splat) -> None:
            torch.autograd.grad(splat(), leaves, gradient)

        add("peer", f"{name} forward", forward, scene.batch)
        add("peer", f"{name} forward and backward", both_ways, scene.batch)


@dataclass(frozen=True)
class Case:
    """One scene to measure."""

    count: int
    size: int
    batch: int
    sh: int
    bases: int


@dataclass(frozen=True)
class Grid:
    """The values of each axis."""

    counts: tuple[int, ...] = (20_000, DEFAULT_COUNT, 100_000, 200_000)
    sizes: tuple[int, ...] = (512, 1024)
    batches: tuple[int, ...] = (1, 8, 64)
    sh: tuple[int, ...] = (0, 3)
    bases: tuple[int, ...] = (20, 50)

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            minimum = 0 if name == "sh" else 1
            if not values or min(values) < minimum:
                raise ValueError(f"{name}: expected integers of {minimum} or more, got {list(values)}")
        if set(self.sh) - {0, 1, 2, 3}:
            raise ValueError(f"sh: expected degrees 0 to 3, got {list(self.sh)}")
        for name, largest, most in (
            ("counts", max(self.counts) * max(self.bases), MAX_BASIS),
            ("batches", max(self.batches) * max(self.sizes) ** 2, MAX_BATCH_PIXELS),
        ):
            if largest > most:
                factor = "the number of blendshapes" if name == "counts" else "the pixels of an image"
                raise ValueError(f"{name}: times {factor} at most {most}, got {largest}; measure less at once")

    def default_case(self) -> Case:
        """The case that the others vary: 50k Gaussians if in the grid, and the first value of every other axis."""
        count = DEFAULT_COUNT if DEFAULT_COUNT in self.counts else self.counts[0]
        return Case(count, self.sizes[0], self.batches[0], self.sh[0], self.bases[0])

    def one_axis_cases(self) -> list[Case]:
        """The default case and all cases that differ from it along one axis."""
        default = self.default_case()
        axes = {"count": self.counts, "size": self.sizes, "batch": self.batches, "sh": self.sh, "bases": self.bases}
        varied = [replace(default, **{axis: value}) for axis, values in axes.items() for value in values]
        return [default, *(case for case in varied if case != default)]

    def product(self) -> list[Case]:
        """Every combination."""
        return [Case(*values) for values in itertools.product(*vars(self).values())]


class _Bench:
    """Measures and collects the rows of one run."""

    def __init__(self, device: torch.device, effort: Effort) -> None:
        self.device = device
        self.effort = effort
        self.report = Report(describe_machine(device))
        self.title = ""
        self.case = Case(1, 1, 1, 0, 1)

    def set_case(self, title: str, case: Case) -> None:
        """Set the scene's title and the case of the following rows."""
        self.title = title
        self.case = case

    def add(self, part: Part, name: str, call: Callable[[], object], batch: int) -> None:
        """Time `call` in eager mode and, on a GPU, as a CUDA graph."""
        self.report.rows.append(self._row(part, name, batch, measure(call, self.device, self.effort)))
        if self.device.type != "cuda" or part == "peer":
            return
        try:
            replay = cuda_graph(call)
        except RuntimeError as error:
            self.report.notes.append(f"{self.title}, {self.case}: {name} as a CUDA graph failed: {error}")
            self.report.failed = True
            return
        self.report.rows.append(self._row(part, f"{name}, graph", batch, measure(replay, self.device, self.effort)))

    def _row(self, part: Part, name: str, batch: int, timing: Timing) -> Row:
        case = self.case
        return Row(part, name, self.title, case.count, case.size, case.sh, case.bases, batch, timing)

    def add_render_path(self, scene: Scene) -> None:
        """Time weights -> pixels."""
        self.add("path", "eager", RenderPath(scene), scene.batch)

    def add_training_step(self, scene: Scene, *, parts: bool) -> None:
        """Time a training step, with `parts` also by native function."""
        step = TrainingStep(scene)
        self.add("step", "eager", step, scene.batch)
        if parts:
            self._add_parts(step, scene.batch)

    def add_trainer_step(self, avatar: Avatar, camera: Camera) -> None:
        """Time a step of `headsplat train` that goes on with a copy of `avatar`, also by native function."""
        step = TrainerStep(avatar, camera, self.device)
        timing = measure(step, self.device, self.effort)
        self.report.rows.append(self._row("step", "headsplat train", 1, timing))
        self._add_parts(step, 1)

    def _add_parts(self, step: Callable[[], object], batch: int) -> None:
        for name, timing in split(step, self.device, self.effort).items():
            self.report.rows.append(self._row("split", PARTS.get(name, name), batch, timing))


def run_bench(
    grid: Grid,
    *,
    full: bool = False,
    device: torch.device | None = None,
    avatar: tuple[str, Avatar, Callable[[int], Camera]] | None = None,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure weights -> pixels and training steps on the synthetic head and optionally on an avatar.

    Args:
        grid: the values of each axis.
        full: measure every combination instead of one axis at a time.
        device: None: the CPU. On a CUDA device CUDA graphs and, if installed, gsplat are measured too.
        avatar: a name, the avatar, and a function from image size to its camera [1].
        effort: number of repetitions; None: by device.
        progress: called after every case.

    Returns:
        The report.

    Raises:
        HeadsplatError: no native kernels for the device.
    """
    device = device or torch.device("cpu")
    if native_for(torch.empty(0, device=device)) is None:
        raise HeadsplatError(f"no native kernels for {device} on this machine; `headsplat doctor` shows the reason")
    bench = _Bench(device, effort or (CUDA_EFFORT if device.type == "cuda" else CPU_EFFORT))
    cases = grid.product() if full else grid.one_axis_cases()
    todo = [("head shell", case) for case in cases]
    if avatar is not None:
        name, subject, camera = avatar
        bases = subject.blendshapes.basis.shape[0]
        todo += [(name, Case(len(subject), size, grid.batches[0], 0, bases)) for size in grid.sizes]
    ops.keep_memory()
    with ops.one_thread():
        for done, (title, case) in enumerate(todo):
            if progress:
                progress(done / len(todo), f"{title}, {case.count} Gaussians, {case.size} pixels, {case.batch} images")
            bench.set_case(title, case)
            if done < len(cases):
                scene = head_scene(case.count, case.size, case.bases, case.sh).to(device)
                _measure_shell(bench, case, scene, detailed=done == 0)
            else:
                _measure_avatar(bench, case, subject, camera(case.size))
    return bench.report


def _measure_shell(bench: _Bench, case: Case, scene: Scene, *, detailed: bool) -> None:
    """Measure the render path; for one image also the training step, if `detailed` by part and at all batch sizes."""
    bench.add_render_path(scene.repeated(case.batch))
    if case.batch != 1:
        return
    for batch in STEP_BATCHES if detailed else STEP_BATCHES[:1]:
        bench.add_training_step(scene.repeated(batch), parts=detailed and batch == 1)
    if bench.device.type == "cuda":
        compare_with_gsplat(scene, bench.report, bench.add)


def _measure_avatar(bench: _Bench, case: Case, avatar: Avatar, camera: Camera) -> None:
    """Measure the render path of an avatar; for one image also the step with which `headsplat train` would go on."""
    scene = avatar_scene(avatar, camera).to(bench.device)
    bench.add_render_path(scene.repeated(case.batch))
    if case.batch != 1:
        return
    bench.add_trainer_step(avatar, camera)
    if bench.device.type == "cuda":
        compare_with_gsplat(scene, bench.report, bench.add)
