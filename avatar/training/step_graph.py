"""A step of training on a GPU as a list of launches: what differs between steps lies in memory of the device.

Its images, random backgrounds and rates go there in one copy. Nothing in the launches waits, so that a CUDA graph holds
them; a step whose images do not fit into the rasterizer's memory changes nothing, which is noticed with its loss. It
has not run on a real GPU: each capture makes its step both ways and compares the bits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar import ops
from avatar.ops.graphs import Graph, PackedTensors
from avatar.ops.packages import own_ops
from avatar.training.image_loss import ssim_rows
from avatar.training.losses import READ_EVERY, Losses
from avatar.training.parts.part import PartTraining, Step, Training

log = logging.getLogger(__name__)

#: Steps of one kind that are launched one by one before they are captured.
WARM_UP = 2
#: Hooks that are called between the launches of a step.
_HOOKS = (
    PartTraining.offsets, PartTraining.loss, PartTraining.backward, PartTraining.after_backward, PartTraining.update,
)  # fmt: skip
_SLOTS = READ_EVERY + 1  # steps that may wait on the device: the loss is read at least so often

#: Loss [B] and mean squared difference [B] of the images of a step.
Found = tuple[Tensor, Tensor]


class StepInputs:
    """The values of a step that the host chooses, at fixed addresses on the device."""

    def __init__(self, like: Sequence[Tensor], device: torch.device) -> None:
        """Args: like: give shapes and dtypes; device: a GPU."""
        self._on_device = PackedTensors(like, device)
        self._uploads = [PackedTensors(like, device, pinned=True) for _ in range(_SLOTS)]
        self._next = 0

    def upload(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Copy `values` to the device, without waiting; the tensors there are the same in every step."""
        upload, self._next = self._uploads[self._next], (self._next + 1) % _SLOTS
        upload.set(values)
        self._on_device.block.copy_(upload.block, non_blocking=True)
        return self._on_device.tensors

    def fits(self, values: Sequence[Tensor]) -> bool:
        """Whether values have the shapes and dtypes of these."""
        known = self._on_device.tensors
        return [(value.shape, value.dtype) for value in values] == [(value.shape, value.dtype) for value in known]


@dataclass
class _Kind:
    """Steps that are the same launches."""

    held: list[object]  # what must be the same objects
    seen: int = 0
    captured: tuple[Graph, Found] | None = None


class StepGraph:
    """Replays the launches of steps; captured anew where what they work on is replaced."""

    def __init__(self, device: torch.device, state: Callable[[], list[Tensor]]) -> None:
        """
        Args:
            device: a GPU.
            state: all that the launches of a step change.
        """
        self._device = device
        self._state = state
        self._kinds: dict[object, _Kind] = {}
        #: why no graph is used, in one sentence; empty: one is, or will be
        self.problem = ""

    def clear(self) -> None:
        """Capture anew: tensors that the launches read were replaced."""
        self._kinds.clear()

    def run(self, name: object, held: Sequence[object], launches: Callable[[], Found]) -> Found:
        """Make a step; afterwards all is as after `launches()`.

        Args:
            name: steps of different names are different launches.
            held: objects that the launches read, beside the state.
            launches: makes a step.
        """
        held = [*held, *self._state()]
        kind = self._kinds.get(name)
        if kind is None or len(kind.held) != len(held) or any(a is not b for a, b in zip(kind.held, held, strict=True)):
            kind = self._kinds[name] = _Kind(list(held))
        kind.seen += 1
        if kind.captured is not None:
            graph, found = kind.captured
            graph.replay()
            return found
        with own_ops():  # other packages wait for the device, so a graph has none of them
            return launches() if self.problem or kind.seen <= WARM_UP else self._capture(kind, launches)

    def _capture(self, kind: _Kind, launches: Callable[[], Found]) -> Found:
        state = [tensor.detach() for tensor in self._state()]
        before = [tensor.clone() for tensor in state]
        expected = tuple(value.clone() for value in launches())
        after = [tensor.clone() for tensor in state]
        _set(state, before)
        made: list[Found] = []
        try:
            graph = Graph(self._device, lambda: made.append(launches()))
            graph.replay()
            for one, other in zip([*state, *made[0]], [*after, *expected], strict=True):
                if not torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8)):
                    raise RuntimeError("it gave other bits than the same launches one by one")
        except RuntimeError as error:
            _set(state, after)
            first = (str(error).strip().splitlines() or ["no reason was given"])[0].rstrip(".")
            self.problem = (
                f"steps on {self._device} are launched one by one, which is slower, because a CUDA graph of them "
                f"failed: {first}"
            )
            log.warning("%s", self.problem)
            return expected[0], expected[1]
        kind.captured = graph, made[0]
        return made[0]


class GraphedSteps:
    """The steps of a training on a GPU, with what differs between them in memory of the device."""

    def __init__(self, training: Training, parts: Sequence[PartTraining], losses: Losses, rows: Tensor) -> None:
        """Args: see `graphed_steps`; the training is on a GPU."""
        self._training = training
        self._parts = parts
        self._losses = losses
        self._rows = rows
        self._inputs: StepInputs | None = None
        self._skipped = 0  # steps that had too little memory, as far as more was given
        self.graph = StepGraph(training.device, self.state)

    def state(self) -> list[Tensor]:
        """All that a step changes before limits and relocation."""
        groups = self._training.optimizer.groups
        return [tensor for group in groups for tensor in (group.param, group.m, group.v)]

    def __call__(self, step: Step, launches: Callable[[Step], Found]) -> Found:
        """Make a step whose values are on the host; `launches` makes one whose values are on the device."""
        training, optimizer = self._training, self._training.optimizer
        if self._losses.skipped > self._skipped:
            self._give_more_memory(step)
        draws = {part.key: part.draw(step.number, self._rows[step.indices]) for part in self._parts}
        drawn = {key: value for key, value in draws.items() if value is not None}
        given = step.indices, step.background, optimizer.scheduled(step.rate), *drawn.values()
        if self._inputs is None or not self._inputs.fits(given):
            self._inputs = StepInputs(given, training.device)
            self.graph.clear()
        indices, background, optimizer.schedule, *values = self._inputs.upload(given)
        on_device = replace(step, indices=indices, background=background, drawn=dict(zip(drawn, values, strict=True)))
        on_device.rate = step.rate
        # Values of the host that decide what is launched.
        variants = [part.variant(step.fraction) for part in self._parts]
        kind = (ssim_rows(training.config.seed, step.number), *variants)
        held = (step.frames, training.anchors.rows, *training.anchors.initial.values())
        done = optimizer.steps
        found = self.graph.run(kind, held, lambda: launches(on_device))
        optimizer.steps = done + 1
        return found

    def _give_more_memory(self, step: Step) -> None:
        training, camera = self._training, step.frames.camera
        log.warning(
            "%d steps before step %d changed nothing: their images had more tile intersections than there was memory "
            "for; the next ones have more",
            self._losses.skipped - self._skipped,
            step.number,
        )
        self._skipped = self._losses.skipped
        ops.allow_more(training.device, len(step.indices), len(training.avatar), camera.width, camera.height)
        self.graph.clear()

    def clear(self) -> None:
        """Capture anew: tensors that the launches read were replaced."""
        self.graph.clear()


def graphed_steps(
    training: Training, parts: Sequence[PartTraining], losses: Losses, rows: Tensor
) -> GraphedSteps | None:
    """Steps that a graph may hold; None for a training that is launched one by one.

    Args:
        training: on any device.
        parts: of the training.
        losses: of its steps.
        rows: [n] int, time step of each image, on the host.
    """
    config = training.config
    alone = training.processes.count == 1 and training.full.recording is None and config.rasterizer != "gsplat"
    fits = alone and ops.takes_schedule(training.avatar.offsets) and all(map(_is_graphed, parts))
    return GraphedSteps(training, parts, losses, rows) if fits else None


def _is_graphed(part: PartTraining) -> bool:
    return part.graphed or all(getattr(type(part), hook.__name__) is hook for hook in _HOOKS)


def _set(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)
