"""The photometric loss of a step, in one operation where the avatar has no part that renders in its own way.

`ops.rendered_loss` gives the bits of the operations one by one, which are its reference; here is the only place that
decides between the two. What an image shows and no step changes is computed once for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.rendering.backends import backend_of
from avatar.rendering.layer import BLUR, in_camera, places_of
from avatar.training.config import TrainConfig
from avatar.training.parts.part import PartTraining, Step
from avatar.training.prediction import predict
from avatar.types import Bones, VertexStretch

#: Each step has windows of SSIM on every such row of its images only.
SSIM_STRIDE = 2

#: What parts of an avatar and of its training may do to an image that the operation does not know.
_RENDERING: tuple[Callable[..., object], ...] = (
    AvatarPart.add_offsets,
    AvatarPart.change_colors,
    AvatarPart.pose_layer,
    AvatarPart.change_layer,
    PartTraining.loss,
)


class ImageLoss:
    """Renders the images of a step and compares them with the frames."""

    def __init__(self, avatar: Avatar, config: TrainConfig, parts: Sequence[PartTraining]) -> None:
        """Args: of the training, on its device."""
        self._avatar = avatar
        self._config = config
        self._fused = (
            config.rasterizer == "native"
            and avatar.sh_degree == 0
            and ops.fuses_rendered_loss(avatar.offsets)
            and all(map(_is_plain, avatar.parts.values()))
            and all(map(_is_plain, parts))
        )
        self._scenes: _Scenes | None = None

    def __call__(self, step: Step, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Loss [B], with autograd, and mean squared difference [B] of the images of `step`.

        Sets what `step` has of the rendered images where a part may need it.

        Args:
            step: with its truth.
            extra: [B,M,CHANNELS] blended offsets.
        """
        config = self._config
        rows = ssim_rows(config.seed, step.number)
        target = step.truth, step.matte, step.background, config.ssim, config.mask, rows
        if not self._fused or step.frames.recording is not None:
            gaussians = predict(self._avatar, step.frames, step.indices, extra)
            rasterize = backend_of(config.rasterizer).rasterize
            step.rgb, step.alpha, _ = rasterize(gaussians, step.frames.views(step.indices), with_depth=False)
            return ops.photometric(step.rgb, step.alpha, *target)
        if self._scenes is None or not self._scenes.are_of(step.frames):
            self._scenes = _Scenes(self._avatar, step.frames)
        scene, bones = self._scenes(step.indices)
        layer = self._avatar.part(MeshLayer)
        texels = textures = None
        if layer is not None:
            texels = layer.texels()
            textures = layer.eye_light.textures() if layer.eye_light.known else None
        return ops.rendered_loss(self._avatar.local, extra, bones, scene, ops.LossTarget(*target), texels, textures)


def ssim_rows(seed: int, step: int) -> tuple[int, int]:
    """Stride and first row of the windows in a step, from the seed and number alone, so that resuming keeps the bits.

    Steps one after another have all first rows once, in an order that is random: steps at a regular distance, in which
    an image might be shown, must not always have the same rows.
    """
    shift = np.random.default_rng((seed, step // SSIM_STRIDE, SSIM_STRIDE)).integers(SSIM_STRIDE)
    return SSIM_STRIDE, (step + int(shift)) % SSIM_STRIDE


def _is_plain(part: AvatarPart | PartTraining) -> bool:
    """Whether a part renders as the operation does."""
    if isinstance(part, MeshLayer):
        return True
    return all(getattr(type(part), hook.__name__, hook) is hook for hook in _RENDERING)


class _Scenes:
    """The images of training frames for one size and one refinement."""

    def __init__(self, avatar: Avatar, frames: TrainingFrames) -> None:
        self._avatar = avatar
        self._frames = frames
        self._known: dict[int, tuple[Tensor, ...]] = {}  # by image
        self._bones: dict[int, Bones] = {}  # by image, where the torso is known

    def are_of(self, frames: TrainingFrames) -> bool:
        """Whether these are the images of `frames`."""
        return frames is self._frames

    def __call__(self, indices: Tensor) -> tuple[ops.LossScene, Bones]:
        """The scene of the images `indices` [B], and the bones of the heads in them."""
        avatar, frames = self._avatar, self._frames
        rig = avatar.rig
        vertices = pick(frames.states.vertices, pick(frames.step, indices))
        tensors, *of_layer = (torch.cat(values) for values in zip(*map(self._of_image, indices.tolist()), strict=True))
        stretch = None if rig.stretch is None else VertexStretch(tensors, rig.stretch.rows)
        layer = avatar.part(MeshLayer)
        camera = frames.views(indices)
        scene = None
        if layer is not None:
            fades = layer.fades(rig.triangles, avatar.offsets, avatar.blendshapes.count)
            vertices_cam, shade, *places = of_layer
            fades = fades.expand(len(indices), -1).contiguous()
            scene = ops.LayerScene(layer.mesh, vertices_cam, shade, fades, BLUR, *places)
        sampling = avatar.sampling
        return (
            ops.LossScene(
                vertices, rig.binding, stretch, avatar.blendshapes.units, sampling.filter_scale, sampling.dilation,
                camera, scene,
            ),
            self._bones_of(indices),
        )  # fmt: skip

    def _bones_of(self, indices: Tensor) -> Bones:
        """With autograd while the map of the torso learns, else known for each image."""
        states = self._frames.states
        if states.torso is None:
            return states.posed_head(self._avatar.rig, pick(self._frames.step, indices)).bones
        for index in indices.tolist():
            if index not in self._bones:
                row = self._frames.step[index : index + 1]
                self._bones[index] = states.posed_head(self._avatar.rig, row).bones
        found = [self._bones[index] for index in indices.tolist()]
        return Bones(torch.cat([bones.quats for bones in found]), torch.cat([bones.translations for bones in found]))

    @torch.no_grad()
    def _of_image(self, index: int) -> tuple[Tensor, ...]:
        """Stretch (empty if nothing stretches), and of a layer its vertices in camera axes, shade, and reflections."""
        known = self._known.get(index)
        if known is not None:
            return known
        avatar, frames = self._avatar, self._frames
        row = frames.step[index : index + 1]
        vertices = pick(frames.states.vertices, row)
        stretch = avatar.rig.stretch
        found = [vertices.new_zeros(1, 0) if stretch is None else stretch(vertices)]
        layer = avatar.part(MeshLayer)
        if layer is not None:
            pose = pick(frames.states.rotation, row), pick(frames.states.translation, row)
            camera = frames.view(index)
            rotation, translation = in_camera(*pose, camera)
            moved = torch.baddbmm(translation[..., None], rotation, vertices.transpose(1, 2)).transpose(1, 2)
            found += [moved.contiguous(), layer.shade(vertices)]
            reflections = layer.eye_light.posed(vertices)
            if reflections is not None:
                centers = reflections.centers @ rotation.transpose(1, 2) + translation[:, None]
                pixels, radii = places_of(centers, reflections.radii, camera.K)
                found.append(torch.cat([pixels, radii[..., None]], 2))
        self._known[index] = tuple(found)
        return self._known[index]
