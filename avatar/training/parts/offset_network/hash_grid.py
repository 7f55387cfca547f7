"""Hash tables anchored to the mesh, merged by expression, with a small MLP.

One multiresolution hash table (Mueller et al. 2022) over the surface of the resting mesh for each component of the
expression; the tables are summed with the components as weights, looked up once for each Gaussian, and decoded by an
MLP. Neighbors share entries, so an expression that few frames show moves a region rather than single Gaussians.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar.model.avatar import Avatar
from avatar.model.blendshapes import CHANNELS
from avatar.training.parts.offset_network.network import SLOPE, OffsetNetwork, last_layer, no_bias

#: Cells of each level along the longest side of the face, entries of a table, features of an entry, width of the MLP.
LEVELS = (8, 16, 32, 64)
ENTRIES = 1 << 13
FEATURES = 2
WIDTH = 32
#: Of the hash of the lattice points (the primes of Mueller et al. 2022, equation 4).
_PRIMES = (1, 2654435761, 805459861)


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
        self.bind(avatar)

    rows: Tensor
    share: Tensor

    def bind(self, avatar: Avatar) -> None:
        """Entries and weights of the eight lattice points around each Gaussian on each level."""
        count = avatar.blendshapes.count
        rest = avatar.head.v_template
        corners = rest[avatar.rig.triangles[:count]]
        place = (corners * avatar.rig.bary[:count, :, None]).sum(1)
        low = rest.amin(0)
        unit = (place - low) / (rest.amax(0) - low).amax()
        lattices = [_lattice(unit, cells) for cells in LEVELS]
        self.rows = torch.cat([rows + level * ENTRIES for level, (rows, _) in enumerate(lattices)], 1)  # [M,L*8]
        self.share = torch.cat([share for _, share in lattices], 1)  # [M,L*8]

    def forward(self, soft: Tensor, vertices: Tensor) -> Tensor:
        """As of the base class; the vertices are not used."""
        merged = (soft @ self.code) @ self.tables  # [B,L*entries*features]
        count = len(self.rows)
        levels = len(LEVELS)
        encodings = []
        for table in merged:
            entries = table.view(-1, FEATURES)[self.rows.flatten()].view(count, levels, 8, FEATURES)
            encodings.append((entries * self.share.view(count, levels, 8, 1)).sum(2).flatten(1))
        decoded: Tensor = self.decode(torch.stack(encodings))
        return decoded


def _lattice(unit: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Entries [M,8] of the lattice points around places [M,3] in 0..1, and their trilinear weights [M,8]."""
    scaled = unit * cells
    base = scaled.floor()
    part = scaled - base
    corner = torch.cartesian_prod(*[torch.arange(2, device=unit.device)] * 3)  # [8,3]
    points = base.to(torch.int64)[:, None] + corner
    mixed = points * torch.tensor(_PRIMES, device=unit.device)
    entry = mixed[..., 0] ^ mixed[..., 1] ^ mixed[..., 2]
    weight = torch.where(corner.bool(), part[:, None], 1 - part[:, None]).prod(-1)
    return entry % ENTRIES, weight
