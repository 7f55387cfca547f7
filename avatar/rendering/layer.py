"""The posed mesh layer of an avatar as the images that `ops.splat` blends behind its Gaussians."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatar import ops
from avatar.ops import LayerImages
from avatar.types import Camera, Gaussians, PosedLayer, PosedReflections

#: Meters, standard deviation of the blur of the layer: sharper edges would look pasted on beside Gaussians.
BLUR = 3.5e-4
_NEAR = 1e-3  # meters, smallest depth to divide by


def splat_layer(gaussians: Gaussians, camera: Camera) -> ops.SplatLayer | None:
    """The argument `layer` of `ops.splat` for these Gaussians, differentiable in the texels; None without a layer.

    Args:
        gaussians: [B,N], world frame.
        camera: [B].
    """
    posed = gaussians.layer
    if posed is None:
        return None
    return ops.SplatLayer(
        reflecting(layer_images(posed, camera), posed, camera), posed.fades.expand_as(gaussians.opacities)
    )


def reflecting(images: LayerImages, posed: PosedLayer, camera: Camera) -> LayerImages:
    """The `images` [B] of a layer from `camera` [B] with its reflections, if it has any."""
    if posed.reflections is None:
        return images
    rotation, translation = in_camera(posed.rotation, posed.translation, camera)
    centers = posed.reflections.centers @ rotation.transpose(1, 2) + translation[:, None]
    return with_reflections(images, posed.reflections, centers, camera.K)


def vertices_in_camera(posed: PosedLayer, camera: Camera) -> Tensor:
    """Vertices [B,V,3] of a layer [B] in the axes of `camera` [B], meters."""
    rotation, translation = in_camera(posed.rotation, posed.translation, camera)
    # Coordinates first: half of the time of a product of rows of three.
    return torch.baddbmm(translation[..., None], rotation, posed.vertices.transpose(1, 2)).transpose(1, 2)


def layer_images(posed: PosedLayer, camera: Camera) -> LayerImages:
    """Images of a layer [B] from `camera` [B] without reflections, differentiable in the texels."""
    vertices = vertices_in_camera(posed, camera)
    return ops.layer(vertices, posed.shade, posed.texels, posed.mesh, camera.K, camera.width, camera.height, blur=BLUR)


def with_reflections(images: LayerImages, reflections: PosedReflections, centers: Tensor, K: Tensor) -> LayerImages:
    """The images of a layer with reflections, differentiable in their textures; may overwrite the color of `images`.

    Args:
        images: [B] of the layer.
        reflections: their textures and radii.
        centers: [B,2,3] meters, camera axes.
        K: [B,3,3] pixels.
    """
    pixels, radii = places_of(centers, reflections.radii, K)
    color = ops.add_reflections(
        images.color, images.coverage, reflections.textures, pixels - images.origin[:, None], radii
    )
    return replace(images, color=color)


def places_of(centers: Tensor, radii: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels [B,2,2] and radii in pixels [B,2] of reflections at `centers` [B,2,3], `radii` [B,2] (meters, camera)."""
    depth = centers[..., 2:].clamp_min(_NEAR)
    return (centers @ K.transpose(1, 2))[..., :2] / depth, radii * K[:, :1, 0] / depth[..., 0]


def in_camera(rotation: Tensor, translation: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Rotation [B,3,3] and translation [B,3] from the skull frame to the camera's, from those to the world."""
    view = camera.world_to_cam
    shift = (view[:, :3, :3] @ translation[..., None])[..., 0] + view[:, :3, 3]
    return view[:, :3, :3] @ rotation, shift
