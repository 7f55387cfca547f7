"""Whom the prior of heads serves well: errors of unseen skin and scalp by skin tone, hair and beard.

    python -m tests.bench.bench_prior --people 192

People that the prior has never seen are shown from the front, in random light. The table has the mean color difference
(CIE 1976, D65) of the vertices that were not seen, from the prior and from one mean head in the same light.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.model.prior import FLOOR, HeadPrior, from_log, head_prior
from capture.synthetic.population import random_appearance, skin_tone
from tools.weights.prior import HELD_OUT, albedo_of

Floats = NDArray[np.float64]

#: Standard deviations of the logarithm of the light's gain and of its gradients to the left and upward.
LIGHT = (0.4, 0.2)


@dataclass(frozen=True)
class Person:
    """A held-out person in some light."""

    groups: tuple[str, ...]
    colors: Floats  # [K,3] logarithms of linear light


def groups_of(seed: int) -> tuple[str, ...]:
    """Names of the groups to which the random person of a seed belongs."""
    tone, appearance = skin_tone(seed), random_appearance(seed)
    light = float(np.mean(appearance.hair.color)) if appearance.hair else 0.0
    hair = "bald" if appearance.bald else "dark hair" if light < 0.03 else "brown, red" if light < 0.1 else "light hair"
    skin = ("light skin", "medium skin", "dark skin")[min(2, int(3 * tone))]
    return "all", skin, hair, "beard" if appearance.beard else "no beard"


def person(seed: int, normals: Floats) -> Person:
    """The person of a seed in the light of the same seed; `normals` [K,3] of the vertices."""
    rng = np.random.default_rng((311, seed))
    gain, gradient = rng.normal(0, LIGHT[0]), rng.normal(0, LIGHT[1], 2)
    light = (gain + normals[:, :2] @ gradient)[:, None]
    return Person(groups_of(seed), np.log(albedo_of(seed) * np.exp(light) + FLOOR))


def differences(model: HeadPrior, true: Person, weights: Floats) -> float:
    """Mean color difference of the unseen vertices."""
    shown = np.where(weights[:, None] > 0, from_log(true.colors), 0.0)
    images = (model.complete(shown, weights), from_log(true.colors))
    found, wanted = (cv2.cvtColor(x[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0] for x in images)
    return float(np.linalg.norm(found - wanted, axis=1)[weights == 0].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=192)
    args = parser.parse_args()
    model = head_prior()
    mean_head = replace(model, basis=np.zeros_like(model.basis))
    weights = np.clip((model.normals[:, 2] - 0.2) / 0.3, 0, 1)
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(HELD_OUT, HELD_OUT + args.people):
        true = person(seed, model.normals)
        values = differences(model, true, weights), differences(mean_head, true, weights)
        for name in true.groups:
            rows.setdefault(name, []).append(values)
    print("| people | number | prior | one mean head |\n|---|---|---|---|")
    for name in sorted(rows, key=lambda name: -len(rows[name])):
        prior, single = np.mean(rows[name], 0)
        print(f"| {name} | {len(rows[name])} | {prior:.1f} | {single:.1f} |")


if __name__ == "__main__":
    main()
