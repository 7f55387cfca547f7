"""The loss of a step and its gradients, in one operation where the avatar has no part that renders in its own way.

`ops.rendered_loss` gives the bits of the operations one by one, which are its reference; here is the only place that
decides between the two. What an image shows and no step changes is computed once for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from avatar import ops
from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.parts.mesh_layer import OUTER_DISTANCE, MeshLayer
from avatar.model.parts.pose_blendshapes import PoseBlendshapes
from avatar.rendering.backends import backend_of
from avatar.rendering.layer import BLUR, in_camera, places_of
from avatar.training.adam import add_gradient
from avatar.training.config import TrainConfig
from avatar.training.memo import Memo
from avatar.training.parts.part import PartTraining, Step
from avatar.training.prediction import predict
from avatar.types import Bones, PosedHead

#: Each step has windows of SSIM on every such row of its images only.
SSIM_STRIDE = 2
_BLOCK = 64  # random numbers from one generator

#: What parts of an avatar and of its training may do to an image that the operation does not know.
_RENDERING: tuple[Callable[..., object], ...] = (
    AvatarPart.add_offsets,
    AvatarPart.change_colors,
    AvatarPart.pose_layer,
    AvatarPart.change_layer,
    PartTraining.loss,
)


class ImageLoss:
    """Renders the images of a step, compares them with the frames, and finds the gradients of the difference."""

    def __init__(self, avatar: Avatar, config: TrainConfig, parts: Sequence[PartTraining]) -> None:
        """Args: of the training, on its device."""
        self._avatar = avatar
        self._config = config
        self._parts = parts
        self._fused = (
            config.rasterizer != "gsplat"
            and avatar.sh_degree == 0
            and ops.fuses_rendered_loss(avatar.offsets)
            and all(map(_is_plain, avatar.parts.values()))
            and all(map(_is_plain, parts))
        )
        self._scenes: _Scenes | None = None
        self._on_outer: Memo[Tensor] = Memo()  # until a relocation moves Gaussians to other triangles

    def __call__(self, step: Step, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Loss [B] and mean squared difference [B] of the images of `step`; all that made them receives gradients.

        These are of the sum of the losses, times the weights of their frames, and of the terms of the parts. Sets what
        `step` has of the rendered images where a part may need it.

        Args:
            step: with its truth.
            extra: [B,M,CHANNELS] blended offsets, with autograd.
        """
        fused = self._fused and step.frames.recording is None
        weight = pick(step.frames.weight, step.indices)
        config = self._config
        rows = ssim_rows(config.seed, step.number)
        target = ops.LossTarget(step.truth, step.matte, step.background, config.ssim, config.mask, rows)
        return (self._in_one if fused else self._one_by_one)(step, extra, target, weight)

    def _one_by_one(self, step: Step, extra: Tensor, target: ops.LossTarget, weight: Tensor) -> tuple[Tensor, Tensor]:
        gaussians = predict(self._avatar, step.frames, step.indices, extra)
        rasterize = backend_of(self._config.rasterizer).rasterize
        step.rgb, step.alpha, _ = rasterize(gaussians, step.frames.views(step.indices), with_depth=False)
        losses, squares = ops.photometric(step.rgb, step.alpha, *vars(target).values())
        loss = (losses * weight).sum()
        for part in self._parts:
            term = part.loss(step)
            loss = loss if term is None else loss + term
        loss.backward()
        return losses.detach(), squares

    def _in_one(self, step: Step, extra: Tensor, target: ops.LossTarget, weight: Tensor) -> tuple[Tensor, Tensor]:
        if self._scenes is None or not self._scenes.are_of(step.frames):
            self._scenes = _Scenes(self._avatar, step.frames)
        scene, bones = self._scenes(step.indices)
        avatar = self._avatar
        rotation = pick(step.frames.states.rotation, pick(step.frames.step, step.indices))
        head = PosedHead(scene.vertices, rotation, bones)
        for part in avatar.parts.values():
            extra = part.add_offsets(extra, head, None, avatar.rig)
        layer = avatar.part(MeshLayer)
        look = None if layer is None else self._look_of(layer)
        with record_function("rendered_loss"):  # its name in a profile
            losses, squares, grads = ops.rendered_loss(avatar.local, extra, bones, scene, target, weight, look)
        for name, grad in vars(grads.local).items():
            add_gradient(getattr(avatar, name), grad)
        _pass_on([extra, *vars(bones).values()], [grads.extra, *vars(grads.bones).values()])
        if layer is not None and look is not None and grads.look is not None:
            add_gradient(layer.delta, grads.look.delta)
            add_gradient(layer.gains, layer.of_gains(look.factors, grads.look.factors))
            if grads.look.textures is not None:
                add_gradient(layer.eye_light.reflections, grads.look.textures * layer.eye_light.inside)
        return losses, squares

    @torch.no_grad()
    def _look_of(self, layer: MeshLayer) -> ops.LayerLook:
        avatar = self._avatar
        triangles = avatar.rig.triangles
        outer = self._on_outer(lambda: layer.on_outer(triangles, avatar.blendshapes.count), triangles)
        textures = layer.eye_light.textures() if layer.eye_light.known else None
        return ops.LayerLook(layer.factors(), layer.delta, textures, outer, OUTER_DISTANCE)


def _pass_on(tensors: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
    """Give tensors their gradients; those that were computed from others pass them on by autograd."""
    computed = [(tensor, grad) for tensor, grad in zip(tensors, grads, strict=True) if tensor.grad_fn is not None]
    if computed:
        torch.autograd.backward([tensor for tensor, _ in computed], [grad for _, grad in computed])
    for tensor, grad in zip(tensors, grads, strict=True):
        if tensor.grad_fn is None and tensor.requires_grad:
            add_gradient(tensor, grad)


def ssim_rows(seed: int, step: int) -> tuple[int, int]:
    """Stride and first row of the windows in a step, from the seed and number alone, so that resuming keeps the bits.

    Steps one after another have all first rows once, in an order that is random: steps at a regular distance, in which
    an image might be shown, must not always have the same rows.
    """
    block, place = divmod(step // SSIM_STRIDE, _BLOCK)
    return SSIM_STRIDE, (step + _shifts(seed, block)[place]) % SSIM_STRIDE


@lru_cache(maxsize=4)
def _shifts(seed: int, block: int) -> list[int]:
    """Random numbers below SSIM_STRIDE of a block: a generator for each number would take a hundredth of a step."""
    return np.random.default_rng((seed, block, SSIM_STRIDE)).integers(SSIM_STRIDE, size=_BLOCK).tolist()


def _is_plain(part: AvatarPart | PartTraining) -> bool:
    """Whether a part renders as the operation does."""
    if isinstance(part, (MeshLayer, PoseBlendshapes)):
        return True
    return all(getattr(type(part), hook.__name__, hook) is hook for hook in _RENDERING)


class _Scenes:
    """The images of training frames for one size and one refinement."""

    def __init__(self, avatar: Avatar, frames: TrainingFrames) -> None:
        self._avatar = avatar
        self._frames = frames
        self._known: dict[int, ops.LossScene] = {}  # by image
        self._bones: dict[int, Bones] = {}  # by image, where the torso is known
        self._features: Tensor | None = None  # [S,7] of the map of the torso, where that learns
        if frames.states.torso is None:
            self._features = avatar.rig.torso.clamped_features(frames.states.rotation, frames.states.translation)

    def are_of(self, frames: TrainingFrames) -> bool:
        """Whether these are the images of `frames`."""
        return frames is self._frames

    def __call__(self, indices: Tensor) -> tuple[ops.LossScene, Bones]:
        """The scene of the images `indices` [B], and the bones of the heads in them."""
        return ops.LossScene.of([self._scene_of(index) for index in indices.tolist()]), self._bones_of(indices)

    def _bones_of(self, indices: Tensor) -> Bones:
        """With autograd while the map of the torso learns, else known for each image."""
        states = self._frames.states
        if self._features is not None:
            rig, rows = self._avatar.rig, pick(self._frames.step, indices)
            torso = rig.torso.pose(rig.torso.motion_of(pick(self._features, rows)))
            return rig.bones(pick(states.rotation, rows), pick(states.translation, rows), torso)
        for index in indices.tolist():
            if index not in self._bones:
                row = self._frames.step[index : index + 1]
                self._bones[index] = states.posed_head(self._avatar.rig, row).bones
        found = [self._bones[index] for index in indices.tolist()]
        if len(found) == 1:
            return found[0]
        return Bones(torch.cat([bones.quats for bones in found]), torch.cat([bones.translations for bones in found]))

    @torch.no_grad()
    def _scene_of(self, index: int) -> ops.LossScene:
        known = self._known.get(index)
        if known is not None:
            return known
        avatar, frames = self._avatar, self._frames
        rig, sampling = avatar.rig, avatar.sampling
        row = frames.step[index : index + 1]
        vertices = pick(frames.states.vertices, row)
        camera = frames.view(index)
        layer = avatar.part(MeshLayer)
        scene = None
        if layer is not None:
            pose = pick(frames.states.rotation, row), pick(frames.states.translation, row)
            rotation, translation = in_camera(*pose, camera)
            moved = torch.baddbmm(translation[..., None], rotation, vertices.transpose(1, 2)).transpose(1, 2)
            reflections = layer.eye_light.posed(vertices)
            places = None
            if reflections is not None:
                centers = reflections.centers @ rotation.transpose(1, 2) + translation[:, None]
                pixels, radii = places_of(centers, reflections.radii, camera.K)
                places = torch.cat([pixels, radii[..., None]], 2)
            scene = ops.LayerScene(
                layer.mesh, layer.start, layer.takes, moved.contiguous(), layer.shade(vertices), BLUR, places
            )
        self._known[index] = ops.LossScene(
            vertices,
            rig.binding,
            None if rig.stretch is None else rig.stretch.mesh,
            avatar.blendshapes.units,
            sampling.filter_scale,
            sampling.dilation,
            camera,
            scene,
        )
        return self._known[index]
