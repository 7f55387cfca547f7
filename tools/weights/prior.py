"""`python -m tools.weights.prior`: fit the prior of heads (`avatar.model.prior`) to random people, and store it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.model.prior import FILE, fit_albedo, prior_vertices, write_prior
from capture.synthetic.person import Person
from capture.synthetic.population import random_appearance
from capture.synthetic.skin import SkinPainter
from capture.synthetic.texels import VertexGrid

PEOPLE = 1024
RANK = 32
#: People of these seeds and above are never in the prior: tests and measurements draw from them.
HELD_OUT = 1_000_000


def albedo_of(seed: int) -> NDArray[np.float32]:
    """Albedo [K,3] of the vertices of the prior (`prior_vertices`) of one random person, linear light."""
    appearance = random_appearance(seed)
    texels = SkinPainter(Person(appearance), appearance, VertexGrid(), seed).paint()
    return texels.albedo[prior_vertices()].astype(np.float32)


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
