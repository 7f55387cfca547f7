"""A prior of heads: what color the skin and scalp of a person have where no frame showed them.

A Gaussian model of low rank of the albedo of every vertex of the embedded head, fitted to synthetic people
(`python -m tools.weights.prior`). Colors are logarithms of linear light, so the light and the exposure of a video
are sums: a gain of each channel and a gradient of light across the head, with priors of their own. The posterior of the
coefficients given some colors is closed form (probabilistic principal components: Tipping and Bishop 1999; Bishop,
Pattern Recognition and Machine Learning, section 2.3.3).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.geometry.mesh_graph import graph_laplacian
from avatar.head.embedded import embedded_head
from avatar.head.model import HeadModel
from avatar.head.shading import vertex_normals

Floats = NDArray[np.float64]

MAGIC = "headsplat-prior"
VERSION = 1
FILE = Path(__file__).with_name("prior.npz")
#: Added to linear light before its logarithm: darker colors differ by noise only.
FLOOR = 0.01
#: Standard deviations of the light: of the logarithm of a gain of all channels and of one; of gradients of these to the
#: left and upward, over the cosine of the normal.
GAIN = 1.0
TINT = 0.3
GRADIENT = 0.3
TINT_GRADIENT = 0.05
#: Standard deviation of an observed color from albedo times light: shading, highlights, errors of the tracking.
OBSERVED = 0.15
#: So many neighboring vertices that are seen well count as one observation: their errors are alike.
CORRELATED = 12.0
#: Degrees of freedom of Student's t of the errors, and iterations of its weights: glasses and strands of hair are none
#: of the model's, and count less.
FREEDOM = 3.0
ITERATIONS = 4
#: The difference of a person from the model spreads over unseen vertices, and fades over so many edges of the mesh.
REACH = 6.0
#: Evidence at which a vertex has half of its own color and half of that of its surroundings.
EVIDENCE = 0.5
#: Weight of the difference of a vertex on the other side of the head, relative to one that is seen.
MIRRORED = 0.5


def to_log(srgb: Floats) -> Floats:
    """Logarithms of linear light of colors in display sRGB, 0..1."""
    srgb = np.clip(srgb, 0, 1)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.log(linear + FLOOR)


def from_log(logarithm: Floats) -> Floats:
    """The inverse of `to_log`, clipped to 0..1."""
    linear = np.clip(np.exp(logarithm) - FLOOR, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class Posterior:
    """Colors of the K vertices of a prior in the light of a video, given observed ones."""

    mean: Floats  # [K,3] logarithms of linear light
    coefficients: Floats  # [R + L] of the person and of the light, standard deviations
    covariance: Floats  # [R + L, R + L] of the coefficients

    def colors(self) -> Floats:
        """The mean [K,3] in display sRGB."""
        return from_log(self.mean)


@dataclass(frozen=True)
class HeadPrior:
    """The model: albedo of K vertices = mean + basis @ coefficients + noise, in logarithms of linear light."""

    vertices: NDArray[np.int64]  # [K] indices in the embedded head
    mean: Floats  # [K,3]
    basis: Floats  # [K,3,R] for one standard deviation of each coefficient
    noise: Floats  # [K,3] variance of what the basis leaves out
    normals: Floats  # [K,3] unit, of the mean head, skull frame

    def posterior(self, colors: Floats, weights: Floats) -> Posterior:
        """Person and light that explain observed colors.

        Args:
            colors: [K,3] logarithms of linear light, see `to_log`; any finite value where the weight is 0.
            weights: [K] 0..1, evidence of each vertex: 1 is seen well.

        Raises:
            ValueError: wrong shapes, a negative weight, or a value that is not finite.
        """
        _check(self.mean, colors, weights)
        seen = np.flatnonzero(weights)
        noise = torch.from_numpy(self.noise[seen] + OBSERVED**2)
        evidence = torch.from_numpy(weights[seen])[:, None] / (CORRELATED * noise)
        error = torch.from_numpy((colors - self.mean)[seen])
        whole = self._design()
        design = whole[torch.from_numpy(seen)]
        trust = torch.ones_like(evidence)
        for _ in range(ITERATIONS):
            weighted = (design * (evidence * trust)[..., None]).flatten(0, 1).T
            precision = weighted @ design.flatten(0, 1) + torch.eye(whole.shape[2], dtype=torch.float64)
            coefficients = torch.linalg.solve(precision, weighted @ error.flatten())
            left = ((error - design @ coefficients) ** 2 / noise).mean(1, keepdim=True)
            trust = ((FREEDOM + 1) / (FREEDOM + left)).expand_as(evidence)
        mean = self.mean + (whole @ coefficients).numpy()
        return Posterior(mean, coefficients.numpy(), torch.linalg.inv(precision).numpy())

    def light(self, posterior: Posterior) -> Floats:
        """Logarithm [3] of the light on a surface that faces the camera, relative to that of the prior: white of 1."""
        light = self.basis.shape[2]
        gains = posterior.coefficients[light : light + 4] * _light_deviations()[:4]
        return gains[0] + gains[1:]

    def variance(self, posterior: Posterior) -> Floats:
        """Variance [K,3] of each color from the mean, without what is observed at the vertex itself."""
        design = self._design()
        spread = (design @ torch.from_numpy(posterior.covariance) * design).sum(2)
        return spread.numpy() + self.noise

    def complete(self, colors: Floats, weights: Floats) -> Floats:
        """Colors [K,3] of the whole head in display sRGB: observed where seen, else those of the posterior.

        The difference of observed colors from the posterior spreads from seen vertices along the mesh and fades, so
        colors have no step where the evidence ends: `d` minimizes `sum w (d - difference)^2 + EVIDENCE (sum over edges
        (d_i - d_j)^2 + sum d^2 / REACH^2)`. A vertex that is not seen also has, with the weight MIRRORED, the
        difference of the vertex on the other side: brows and beards are about alike, and the light is in the posterior.

        Args:
            colors: [K,3] display sRGB, 0..1.
            weights: [K] 0..1, evidence of each vertex.
        """
        observed = to_log(colors)
        opposite = _other_side()
        mirrored = MIRRORED * weights[opposite] * (1 - weights.clip(0, 1))
        system = sparse.diags(weights + mirrored + EVIDENCE / REACH**2) + EVIDENCE * _laplacian()
        with ThreadPoolExecutor(1) as other:  # both take as long, one core each
            factors = other.submit(splu, system.tocsc())
            mean = self.posterior(observed, weights).mean
        own = observed - mean
        difference = factors.result().solve(weights[:, None] * own + mirrored[:, None] * own[opposite])
        return from_log(mean + difference)

    def _design(self) -> Tensor:
        """Factors [K,3,R + L] of all coefficients: of the person, then of the light."""
        ones = np.ones((len(self.mean), 3, 1))
        light = [np.concatenate([ones, np.broadcast_to(np.eye(3), (len(ones), 3, 3))], 2)]
        light += [axis[:, None, None] * light[0] for axis in self.normals.T[:2]]
        # Products are PyTorch's: in training it has one thread, and NumPy's threads would wait for each other.
        return torch.from_numpy(np.concatenate([self.basis, np.concatenate(light, 2) * _light_deviations()], 2))


def _light_deviations() -> Floats:
    """Prior standard deviations [12] of the light's coefficients in the order of `HeadPrior._design`."""
    return np.array([GAIN, *[TINT] * 3, *[GRADIENT, *[TINT_GRADIENT] * 3] * 2])


def _check(mean: Floats, colors: Floats, weights: Floats) -> None:
    if colors.shape != mean.shape or weights.shape != mean.shape[:1]:
        raise ValueError(
            f"prior of heads: expected colors {list(mean.shape)} and weights {[len(mean)]}, "
            f"got {list(colors.shape)} and {list(weights.shape)}"
        )
    if not (np.isfinite(colors).all() and np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("prior of heads: expected finite colors and finite weights of at least 0")


def applies_to(head: HeadModel) -> bool:
    """Whether the prior knows the vertices of `head`: those of the embedded head at full detail, baked or not."""
    return head.name == embedded_head().name and len(head.v_template) == len(embedded_head().v_template)


def prior_vertices() -> NDArray[np.int64]:
    """Vertices [K] of the embedded head that the prior describes: its skin, not eyes and mouth cavity."""
    return np.flatnonzero(embedded_head().regions["skin"].numpy())


@lru_cache(maxsize=1)
def _laplacian() -> sparse.csr_matrix:
    """Graph Laplacian [K,K] of the edges between the prior's vertices."""
    return graph_laplacian(embedded_head().faces.numpy(), prior_vertices(), len(embedded_head().v_template))


@lru_cache(maxsize=1)
def _other_side() -> NDArray[np.int64]:
    """For each of the prior's vertices [K] the one at its mirror image."""
    points = embedded_head().v_template.double().numpy()[prior_vertices()]
    return np.asarray(cKDTree(points).query(points * [-1, 1, 1])[1], np.int64)


def read_prior(path: Path = FILE) -> HeadPrior:
    """The prior of a file of `tools.weights.prior`.

    Raises:
        HeadsplatError: the file is missing, or is not a prior of this version.
    """
    if not path.is_file():
        raise HeadsplatError(f"{path}: the prior of heads is missing; install headsplat again.")
    with np.load(path, allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    stated = str(stored.get("magic")), int(stored.get("version", 0))
    if stated != (MAGIC, VERSION):
        raise HeadsplatError(f"{path}: expected {MAGIC} version {VERSION}, found {stated}; install headsplat again.")
    rows = prior_vertices()
    head = embedded_head()
    basis = stored["basis"].transpose(2, 1, 0) * stored["unit"].astype(np.float64)
    normals = vertex_normals(head.v_template.double(), head.faces).numpy()[rows]
    deviation = stored["deviation"].astype(np.float64) / 100
    return HeadPrior(rows, stored["mean"].astype(np.float64) / 1000, basis, deviation**2, normals)


@lru_cache(maxsize=1)
def head_prior() -> HeadPrior:
    """The prior that the package contains, read once."""
    return read_prior()
