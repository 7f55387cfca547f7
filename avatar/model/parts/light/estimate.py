"""The light of a clip from the colors of an avatar: what the prior of heads cannot explain as skin is shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar
from avatar.model.parts.light.harmonics import TERMS, ambient, rotate_light
from avatar.model.parts.light.head_light import HeadLight, reflect, scene_light
from avatar.model.parts.light.transfer import gaussian_transfer, surface_transfer
from avatar.model.prior import FLOOR, FREEDOM, GAIN, OBSERVED, HeadPrior, applies_to, head_prior
from avatar.model.segmentation import ENOUGH, Floats, Regions, places_of

#: Standard deviations of bands 1 and 2 of a room's light over band 0: of all channels together, and of one from them.
_BAND_1 = 0.5
_BAND_2 = 0.2
_TINT_1 = 0.05
_TINT_2 = 0.03
#: Means of band 1: rooms have light from above, and faces turn to it.
_USUAL = (-0.3, 0.4, 0.0)
#: Standard deviation of the tint of a clip's light: cameras correct their white.
_WHITE = 0.2
#: Every so-manieth vertex is used, and so many of these count as one observation: what a smooth light cannot explain
#: covers whole features.
_STRIDE = 3
_CORRELATED = 20.0
#: The same around a shape that the training measured.
_MEASURED = 0.08
_MEASURED_TINT = 0.02
_ITERATIONS = 12
_STEP = 0.5  # largest step of a coefficient in one iteration


@dataclass(frozen=True)
class _Observed:
    """Colors of the K vertices of the prior, and how far they count."""

    transfer: Tensor  # [K,9]
    colors: Tensor  # [K,3] logarithms of linear light
    weights: Tensor  # [K] 0..1


@torch.no_grad()
def with_light(avatar: Avatar, shape: Tensor | None = None) -> HeadLight:
    """The light of the clip of `avatar`, with the transfer of its Gaussians.

    Args:
        avatar: on the host, trained or at least with its first colors.
        shape: [8,3] bands 1 and 2 of the light over band 0 if they were measured, world axes; None: from the colors
            alone. A head that the prior does not know then has white light from everywhere.

    Returns:
        A light for the avatar, which stays as it is.
    """
    surface = surface_transfer(avatar)
    transfer = gaussian_transfer(avatar, surface)
    mean = avatar.rig.torso.mean_rotation
    known = None if shape is None else rotate_light(torch.cat([torch.ones(1, 3), shape.float()]), mean.T)[1:]
    light = _estimate(avatar, surface, known)
    return HeadLight(transfer, surface, rotate_light(light, mean), mean).requires_grad_(False)


def _estimate(avatar: Avatar, surface: Tensor, shape: Tensor | None) -> Tensor:
    """Light [9,3] in the axes of the skull at the mean pose."""
    white = ambient(torch.ones(3))
    if shape is not None:
        white[1:] = shape * white[:1]
    if not applies_to(avatar.head):
        return white
    prior = head_prior()
    observed = _observe(avatar, surface, prior)
    if observed is None:
        return white
    return _fit(prior, observed, shape).float()


def _observe(avatar: Avatar, surface: Tensor, prior: HeadPrior) -> _Observed | None:
    """Mean colors of the bare skin around each vertex of the prior; None without skin."""
    regions = Regions(places_of(avatar))
    places = regions.places
    rows = np.flatnonzero(regions.bare_skin() & (places.area > 0.01))
    if len(rows) < ENOUGH:
        return None
    vertex = regions.nearest_vertices(avatar, rows, prior.vertices)
    total = np.bincount(vertex, places.area[rows], len(prior.vertices))
    sums = [np.bincount(vertex, places.area[rows] * color, len(total)) for color in places.colors[rows].T]
    colors: Floats = np.stack(sums, 1) / np.maximum(total, 1e-9)[:, None]
    seen_light = scene_light(torch.from_numpy(np.exp(colors) - FLOOR).clamp(0, 1)) + FLOOR
    seen = np.flatnonzero(total > 0)
    weights = np.zeros(len(total))
    weights[seen] = total[seen].clip(0, 1)
    return _Observed(surface.double()[prior.vertices], seen_light.log(), torch.from_numpy(weights))


def _fit(prior: HeadPrior, observed: _Observed, shape: Tensor | None) -> Tensor:
    """Maximum a posteriori of albedo and light by Gauss-Newton with Student's t errors, light [9,3].

    Unknowns: coefficients of the prior [R], the logarithm of the gain of all channels and of each [4], and per band
    term its value in all channels and its difference in each [8,4].
    """
    seen = observed.weights.nonzero()[::_STRIDE, 0]
    basis = torch.from_numpy(prior.basis)[seen]
    rank = basis.shape[2]
    transfer = observed.transfer[seen]
    noise = torch.from_numpy(prior.noise)[seen] + OBSERVED**2
    error = observed.colors[seen] - torch.from_numpy(prior.mean)[seen]
    start, deviations = _light_prior(shape)
    x = torch.cat([torch.zeros(rank), start]).double()
    spread = torch.cat([torch.ones(rank), deviations]).double()
    center = x.clone()
    trust = torch.ones(len(seen), 1, dtype=torch.float64)
    for _ in range(_ITERATIONS):
        value, jacobian = _light_model(transfer, x[rank:])
        left = error - basis @ x[:rank] - value
        trust = (FREEDOM + 1) / (FREEDOM + (left**2 / noise).mean(1, keepdim=True))
        evidence = observed.weights[seen, None] * trust / (_CORRELATED * noise)
        design = torch.cat([basis, jacobian], 2).flatten(0, 1)
        weighted = (design * evidence.reshape(-1, 1)).T
        system = weighted @ design + torch.diag(spread**-2)
        step = torch.linalg.solve(system, weighted @ left.flatten() - (x - center) / spread**2)
        x = x + step.clamp(-_STEP, _STEP)
    return _light_of(x[rank:])


def _light_prior(shape: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean [36] and standard deviations [36] of the unknowns of the light."""
    measured = shape is not None
    first = [_MEASURED, *3 * [_MEASURED_TINT]] if measured else [_BAND_1, *3 * [_TINT_1]]
    second = [_MEASURED, *3 * [_MEASURED_TINT]] if measured else [_BAND_2, *3 * [_TINT_2]]
    deviations = torch.tensor([GAIN, *3 * [_WHITE], *3 * first, *5 * second])
    mean = torch.zeros(4 * TERMS)
    mean[4:16:4] = torch.tensor(_USUAL)
    if shape is not None:
        common = shape.mean(1, keepdim=True)
        mean[4:] = torch.cat([common, shape - common], 1).flatten()
    return mean, deviations


def _light_of(unknowns: Tensor) -> Tensor:
    """Light [9,3] of the unknowns [36]."""
    table = unknowns.reshape(TERMS, 4)
    gain = (table[0, :1] + table[0, 1:]).exp() / SH_C0
    return torch.cat([gain[None], gain * (table[1:, :1] + table[1:, 1:])])


def _light_model(transfer: Tensor, unknowns: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm [K,3] of the light on K vertices, and its derivatives [K,3,36]."""
    light = _light_of(unknowns)
    reflection = reflect(transfer, light)
    raw = transfer @ light
    slope = 1 / (2 * reflection - raw)  # of the logarithm by the raw sum, where the floor is constant
    jacobian = reflection.new_zeros(*reflection.shape, TERMS, 4)
    jacobian[:, :, 0, 0] = 1
    for channel in range(3):
        jacobian[:, channel, 0, 1 + channel] = 1
        by_term = slope[:, channel, None] * transfer[:, 1:] * light[0, channel]
        jacobian[:, channel, 1:, 0] = by_term
        jacobian[:, channel, 1:, 1 + channel] = by_term
    return reflection.log(), jacobian.flatten(2)
