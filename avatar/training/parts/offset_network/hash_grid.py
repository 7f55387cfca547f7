"""Hash tables anchored to the mesh, merged by expression, with a small MLP.

One multiresolution hash table (Mueller et al. 2022) over the surface of the resting mesh for each component of the
expression; the tables are summed with the components as weights, looked up once for each Gaussian, and decoded by an
MLP. Neighbors share entries, so an expression that few frames show moves a region rather than single Gaussians.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import CHANNELS
from avatar.training.parts.offset_network.network import SLOPE, OffsetNetwork, last_layer, no_bias

#: Cells of each level along the longest side of the face, entries of a table, features of an entry, width of the MLP.
LEVELS = (8, 16, 32, 64)
ENTRIES = 1 << 13
FEATURES = 2
WIDTH = 32


class HashGrid(OffsetNetwork):
    """The merged tables and their MLP."""

    def __init__(self, avatar: Avatar, seed: int) -> None:
        """
        Args:
            avatar: untrained; its blendshapes give the components of the expression.
            seed: of the initial values.
        """
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shapes = avatar.blendshapes
        self.code = nn.Parameter(shapes.components @ shapes.mix.detach().T)
        bases = self.code.shape[1]
        tables = torch.randn(bases, len(LEVELS) * ENTRIES * FEATURES, generator=generator) * 0.1
        self.tables = nn.Parameter(tables)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.decode = nn.Sequential(
                no_bias(len(LEVELS) * FEATURES, WIDTH),
                nn.LeakyReLU(SLOPE),
                no_bias(WIDTH, WIDTH),
                nn.LeakyReLU(SLOPE),
                last_layer(no_bias(WIDTH, CHANNELS)),
            )
        self.register_buffer("rows", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("share", torch.zeros(0), persistent=False)
        self.register_buffer("unit", torch.zeros(0), persistent=False)
        self.bind(avatar)

    rows: Tensor
    share: Tensor
    unit: Tensor

    def bind(self, avatar: Avatar) -> None:
        """Entries and weights of the eight lattice points around each Gaussian on each level."""
        count = avatar.blendshapes.count
        rest = avatar.head.v_template
        corners = rest[avatar.rig.triangles[:count]]
        place = (corners * avatar.rig.bary[:count, :, None]).sum(1)
        low = rest.amin(0)
        self.unit = (place - low) / (rest.amax(0) - low).amax()
        lattice = ops.hash_lattice(self.unit, LEVELS, ENTRIES)
        self.rows, self.share = lattice.rows, lattice.share

    def forward(self, soft: Tensor, vertices: Tensor) -> Tensor:
        """As of the base class; the vertices are not used."""
        merged = (soft @ self.code) @ self.tables  # [B,L*entries*features]
        lattice = ops.HashLattice(self.unit, LEVELS, ENTRIES, self.rows, self.share)
        weights = [layer.weight for layer in self.decode if isinstance(layer, nn.Linear)]
        return ops.leaky_network(ops.hash_features(merged, lattice), weights, SLOPE)
