"""Frames of one kind as a CUDA graph: pose and camera go to the device in one copy, the images come back in one.

In between the host launches one graph, and neither waits nor allocates. It has not run on a real GPU: each capture
renders its frame both ways and compares the bits, and whatever fails ends in the launches one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avatar.model.poser import PosedFrames
from avatar.ops.graphs import Graph, PackedTensors
from avatar.ops.packages import own_ops
from avatar.rendering.animator import Animator
from avatar.types import Bones, Camera

log = logging.getLogger(__name__)

#: Frames of one kind that are rendered launch by launch before they are captured: a slider that moves changes the kind
#: in every frame, and a capture costs more than some frames.
WARM_UP = 2
_SLOTS = 2  # frames under way: one is read while the next one is rendered
_COUNT = "tile intersections"
_reported: set[str] = set()  # problems that were logged, each once
_OF_MODULES = frozenset(vars(nn.Module()))

Passes = dict[str, np.ndarray]


@dataclass(frozen=True)
class DeviceImage:
    """An image that stays on the GPU, in memory that the next frame of its graph overwrites."""

    pixels: Tensor  # uint8 [H,W,C], contiguous
    is_newest: Callable[[], bool]  # whether no later frame has overwritten it

    def host(self) -> np.ndarray:
        """A copy of it on the host. Raises RuntimeError where a later frame has overwritten it."""
        if not self.is_newest():
            raise RuntimeError("this image was overwritten by the next frame; copy it before that is rendered")
        return self.pixels.cpu().numpy()


class FrameGraph:
    """Renders frames by a graph that is captured anew where size, avatar, parts or memory change."""

    def __init__(self, animator: Animator, render: Callable[[PosedFrames, int, Camera], dict[str, Tensor]]) -> None:
        """
        Args:
            animator: whose buffers `render` uses, on a GPU.
            render: the images of one frame of poses [T] by index, from a camera [1]; all on the device. During a
                capture it must not wait.
        """
        self._animator = animator
        self._render = render
        self._kind: list[Any] = []  # what must stay the same for a captured graph
        self._seen = 0  # frames of this kind so far
        self._captured: _Captured | None = None
        #: why no graph is used, in one sentence; empty: one is, or will be
        self.problem = ""

    @torch.no_grad()
    def start(self, poses: PosedFrames, index: int, camera: Camera) -> Callable[[], Passes] | None:
        """Start a frame.

        Args:
            poses: T frames, on the host or on the device.
            index: of the frame in `poses`.
            camera: [1], where the poses are.

        Returns:
            A function that waits for its images; None: render it launch by launch, there is no graph for it.
        """
        captured = self._ready(poses, index, camera)
        return None if captured is None else captured.start(_values(poses, index, camera))

    @torch.no_grad()
    def keep(self, poses: PosedFrames, index: int, camera: Camera, name: str) -> DeviceImage | np.ndarray | None:
        """Render a frame and leave its image `name` on the device; the rest as `start`.

        Returns:
            The image, on the host where the graph's memory was too small for the frame; None: there is no graph for it.
        """
        captured = self._ready(poses, index, camera)
        return None if captured is None else captured.keep(_values(poses, index, camera), name)

    def _ready(self, poses: PosedFrames, index: int, camera: Camera) -> _Captured | None:
        """Count a frame; the graph for it, captured where that is due."""
        kind = _kind_of(self._animator, camera)
        if not _same(kind, self._kind):
            self._kind, self._seen, self._captured = kind, 0, None
        self._seen += 1
        if self.problem or self._seen <= WARM_UP:
            return None
        if self._captured is None:
            try:
                self._captured = self._capture(_values(poses, index, camera), camera)
            except RuntimeError as error:
                self._give_up(str(error))
                return None
        return self._captured

    def _capture(self, values: list[Tensor], camera: Camera) -> _Captured:
        captured = _Captured(self._animator, self._render, values, camera)
        self._kind = _kind_of(self._animator, camera)  # the frame may have enlarged the buffers
        return captured

    def _give_up(self, reason: str) -> None:
        first = (reason.strip().splitlines() or ["no reason was given"])[0].rstrip(".")
        self.problem = (
            f"frames on {self._animator.bytes.device} are rendered launch by launch, which is slower, because a CUDA "
            f"graph of them failed: {first}"
        )
        if self.problem not in _reported:
            _reported.add(self.problem)
            log.warning("%s", self.problem)


class _Captured:
    """A captured graph with its memory."""

    def __init__(
        self,
        animator: Animator,
        render: Callable[[PosedFrames, int, Camera], dict[str, Tensor]],
        values: list[Tensor],
        camera: Camera,
    ) -> None:
        """Capture a frame; raises RuntimeError where that fails, or where it gives other bits than its launches."""
        device = animator.bytes.device
        self._animator = animator
        self._inputs = PackedTensors(values, device)
        self._uploads = [PackedTensors(values, device, pinned=True) for _ in range(_SLOTS)]
        self._posed = _unpacked(self._inputs.tensors, camera)
        self._render = render
        # One frame without the graph: it enlarges buffers that are too small, and is what the graph must give.
        self._inputs.set(values)
        expected = {name: image.clone() for name, image in self._one_by_one().items()}
        self._names = list(expected)
        workspace = animator.buffers.workspace
        assert workspace is not None
        count = workspace[:8].view(torch.int64)
        self._limit = animator.buffers.max_intersections
        results = [*expected.values(), count]
        self._images = PackedTensors(results, device)
        self._downloads = [PackedTensors(results, device, pinned=True) for _ in range(_SLOTS)]
        self._copied = [torch.cuda.Event() for _ in range(_SLOTS)]
        self._reading = [False] * _SLOTS
        self._next = 0
        self._launched = 0  # frames

        def run() -> None:
            self._images.set([*self._one_by_one().values(), count])

        self._graph = Graph(device, run)
        self._graph.replay()
        for image, other in zip(self._images.tensors, expected.values(), strict=False):
            if not torch.equal(_bits(image), _bits(other)):
                raise RuntimeError("it gave other bits than the same launches one by one")

    def _one_by_one(self) -> dict[str, Tensor]:
        with own_ops():  # other packages wait for the device, so a graph has none of them
            return self._render(self._posed[0], 0, self._posed[1])

    def start(self, values: list[Tensor]) -> Callable[[], Passes]:
        """Launch a frame; the function that is returned waits for its images."""
        slot = self._launch(values)
        self._download(slot, self._images.block, self._downloads[slot].block)

        def read() -> Passes:
            self._copied[slot].synchronize()
            self._reading[slot] = False
            *images, count = self._downloads[slot].tensors
            if int(count) > self._limit:
                return self._again(values)
            return {name: image.numpy() for name, image in zip(self._names, images, strict=True)}

        return read

    def keep(self, values: list[Tensor], name: str) -> DeviceImage | np.ndarray:
        """Launch a frame and wait for it; only the number of its tile intersections is copied to the host."""
        slot = self._launch(values)
        count = self._downloads[slot].tensors[-1]
        self._download(slot, self._images.tensors[-1], count)
        self._copied[slot].synchronize()
        self._reading[slot] = False
        if int(count) > self._limit:
            return self._again(values)[name]
        number = self._launched
        return DeviceImage(self._images.tensors[self._names.index(name)], lambda: self._launched == number)

    def _launch(self, values: list[Tensor]) -> int:
        """Launch a frame; the slot that it uses."""
        slot, self._next = self._next, (self._next + 1) % _SLOTS
        if self._reading[slot]:  # a frame that nobody has read: its memory is used from here on
            self._copied[slot].synchronize()
        if values[0].device.type == "cpu":
            self._uploads[slot].set(values)
            self._inputs.block.copy_(self._uploads[slot].block, non_blocking=True)
        else:
            self._inputs.set(values)
        self._graph.replay()
        self._launched += 1
        return slot

    def _download(self, slot: int, source: Tensor, target: Tensor) -> None:
        """Start the copy to the host that the slot's event stands after."""
        target.copy_(source, non_blocking=True)
        self._copied[slot].record()
        self._reading[slot] = True

    @torch.no_grad()
    def _again(self, values: list[Tensor]) -> Passes:
        """The images of a frame with more tile intersections than the graph has memory for, which this enlarges.

        Other buffers are another kind of frame: the next one is captured with them.
        """
        self._inputs.set(values)
        return {name: image.cpu().numpy() for name, image in self._one_by_one().items()}


def _bits(image: Tensor) -> Tensor:
    return image.flatten().view(torch.uint8)


def _values(poses: PosedFrames, index: int, camera: Camera) -> list[Tensor]:
    """All that differs between two frames of one kind, each [1,...]."""
    one = slice(index, index + 1)
    of_poses = (
        poses.shape_weights, poses.joint_turns, poses.joint_offsets, poses.blendshape_weights, poses.rotation,
        poses.bones.quats, poses.bones.translations,
    )  # fmt: skip
    return [*(value[one] for value in of_poses), camera.K, camera.world_to_cam]


def _unpacked(values: list[Tensor], camera: Camera) -> tuple[PosedFrames, Camera]:
    shape_weights, turns, offsets, weights, rotation, quats, translations, K, world_to_cam = values
    poses = PosedFrames(shape_weights, turns, offsets, weights, rotation, Bones(quats, translations))
    return poses, Camera(K, world_to_cam, camera.width, camera.height)


def _kind_of(animator: Animator, camera: Camera) -> list[Any]:
    """What a captured frame depends on beside `_values`: all tensors and numbers of the avatar, memory, and size."""
    avatar = animator.avatar
    kind: list[Any] = [avatar, avatar.head, animator.buffers, camera.width, camera.height, camera.K.dtype]
    for module in avatar.modules():
        kind += (module, *module._parameters.values(), *module._buffers.values())
        kind += [value for name, value in vars(module).items() if name not in _OF_MODULES]
    return kind


def _same(one: list[Any], other: list[Any]) -> bool:
    if len(one) != len(other):
        return False
    return all(
        a is b or (type(a) is type(b) and type(a) in _NUMBERS and a == b) for a, b in zip(one, other, strict=True)
    )


_NUMBERS = (int, float, bool, str)
