"""`python -m tools.weights.prior`: fit the prior of heads (`avatar.model.prior`) to random people, and store it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.model.prior import FILE, FLOOR, MAGIC, VERSION, Floats, prior_vertices
from capture.synthetic.person import Person
from capture.synthetic.population import random_appearance
from capture.synthetic.skin import SkinPainter
from capture.synthetic.texels import Array

PEOPLE = 1024
RANK = 32
#: People of these seeds and above are never in the prior: tests and measurements draw from them.
HELD_OUT = 1_000_000


class VertexGrid:
    """The vertices themselves as samples: what a painter makes of them are colors of vertices."""

    def interpolate(self, values: Array) -> Array:
        """The vertex values [V,C]."""
        return values.astype(np.float32)


def albedo_of(seed: int) -> NDArray[np.float32]:
    """Albedo [K,3] of the vertices of the prior (`prior_vertices`) of one random person, linear light."""
    appearance = random_appearance(seed)
    texels = SkinPainter(Person(appearance), appearance, VertexGrid(), seed).paint()
    return texels.albedo[prior_vertices()].astype(np.float32)


def fit_albedo(albedo: NDArray[np.floating], rank: int) -> tuple[Floats, Floats, Floats]:
    """Mean [K,3], basis [K,3,R] and noise variance [K,3] of the albedo [P,K,3] of P people, linear light."""
    table = np.log(np.asarray(albedo, np.float64) + FLOOR)
    people = len(table)
    mean = table.mean(0)
    flat = (table - mean).reshape(people, -1)
    values, vectors = np.linalg.eigh(flat @ flat.T / people)
    order = np.argsort(values)[::-1][:rank]
    basis = flat.T @ vectors[:, order] / np.sqrt(people)
    basis *= np.sign(basis[np.abs(basis).argmax(0), np.arange(basis.shape[1])])
    noise = (flat**2).mean(0) - (basis**2).sum(1)
    return mean, basis.reshape(*mean.shape, -1), noise.clip(1e-4).reshape(mean.shape)


def write_prior(path: Path, mean: Floats, basis: Floats, noise: Floats) -> None:
    """Store a prior: mean in int16, basis in int8, deviations in uint8.

    Args:
        path: the .npz file to write.
        mean: [K,3] logarithm of the albedo; stored in thousandths.
        basis: [K,3,R]; each vector is stored relative to its largest value.
        noise: [K,3] variance; its root is stored in hundredths.
    """
    unit = np.abs(basis).max((0, 1)) / 127
    np.savez_compressed(
        path,
        magic=np.array(MAGIC),
        version=np.array(VERSION),
        mean=np.rint(mean * 1000).astype(np.int16),
        basis=np.rint(basis / unit).astype(np.int8).transpose(2, 1, 0).copy(),
        unit=unit.astype(np.float32),
        deviation=np.rint(np.sqrt(noise) * 100).clip(1, 255).astype(np.uint8),
    )


def main(arguments: list[str]) -> int:
    """Run the generator; returns 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tools.weights.prior", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=FILE, help="output file of the prior")
    parser.add_argument("--people", type=int, default=PEOPLE, help="number of people, the seeds from 0 on")
    parser.add_argument("--rank", type=int, default=RANK, help="number of basis vectors")
    options = parser.parse_args(arguments)
    try:
        if not 0 < options.rank < options.people <= HELD_OUT:
            raise HeadsplatError(
                f"--people {options.people} --rank {options.rank}: expected a rank of at least 1, more people than "
                f"that, and at most {HELD_OUT} people."
            )
        albedo = np.stack([albedo_of(seed) for seed in range(options.people)])
        write_prior(options.output, *fit_albedo(albedo, options.rank))
    except HeadsplatError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
