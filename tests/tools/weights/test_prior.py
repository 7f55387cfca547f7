"""The generator of the prior of heads: its people, and what the prior knows of people it never met."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avatar.head import load_head
from avatar.model import prior
from avatar.model.prior import FLOOR, from_log, head_prior, read_prior, to_log
from capture.synthetic import APPEARANCES
from capture.synthetic.person import Person
from capture.synthetic.population import random_appearance, skin_color, skin_tone
from capture.synthetic.skin import SkinPainter
from tools.weights.prior import HELD_OUT, VertexGrid, albedo_of, fit_albedo, main, write_prior

Floats = NDArray[np.float64]
UNSEEN = ("left_ear", "right_ear", "eyelids", "scalp", "hair_cap", "neck")


def shown_from_the_front(seed: int) -> tuple[Floats, Floats, Floats]:
    """Colors [K,3] of a held-out person in some light, as a camera within 15 degrees sees them, and evidence [K].

    Lids never close, so their skin is not seen.
    """
    rng, normals = np.random.default_rng((5, seed)), head_prior().normals
    key = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.1, 0.8), 1.0])
    diffuse = np.clip((normals @ key / np.linalg.norm(key) + 0.3) / 1.3, 0, None)
    shade = (0.35 + 0.15 * normals[:, 1] + 0.75 * diffuse)[:, None] * np.exp(rng.normal(0, 0.1, 3))
    true = from_log(np.log(albedo_of(HELD_OUT + seed) * shade + FLOOR))
    views = np.radians([-15.0, 0.0, 15.0])
    facing = normals @ np.stack([np.sin(views), np.zeros(3), np.cos(views)])
    weights = np.clip((facing.max(1) - 0.15) / 0.5, 0, 1)
    weights[load_head().regions["eyelids"].numpy()[head_prior().vertices]] = 0
    return true, np.clip(true + rng.normal(0, 0.02, true.shape), 0, 1), weights


def psnr(found: list[Floats]) -> float:
    return float(-10 * np.log10(np.mean([(each**2).mean() for each in found])))


def test_the_prior_beats_a_mean_head_and_the_colors_of_the_model_where_nothing_was_seen() -> None:
    """And it does so for light, medium and dark skin."""
    model, head = head_prior(), load_head()
    region = np.any([head.regions[name].numpy() for name in UNSEEN], axis=0)[model.vertices]
    errors: dict[tuple[str, int], list[Floats]] = {}
    for seed in range(12):
        true, observed, weights = shown_from_the_front(seed)
        unseen, seen = region & (weights == 0), weights > 0.3
        gain = np.median((to_log(observed) - model.mean)[seen], 0)
        guesses = {
            "prior": model.complete(observed, weights),
            "mean head": from_log(model.mean + gain),
            "model": head.colors.numpy()[model.vertices],
        }
        for name, colors in guesses.items():
            errors.setdefault((name, int(3 * skin_tone(HELD_OUT + seed))), []).append((colors - true)[unseen])
    for tone in range(3):
        assert psnr(errors["prior", tone]) > psnr(errors["mean head", tone]) + 1.5
        assert psnr(errors["prior", tone]) > psnr(errors["model", tone]) + 3


def test_the_coefficients_carry_skin_tone_to_the_lids() -> None:
    """Against the same completion without coefficients: closed lids, which no frame showed."""
    model = head_prior()
    alone = replace(model, basis=model.basis[:, :, :0])
    lids = load_head().regions["eyelids"].numpy() & ~load_head().regions["lid_interior"].numpy()
    lids = lids[model.vertices]
    with_basis, without = [], []
    for seed in range(5):
        true, observed, weights = shown_from_the_front(seed)
        with_basis.append((model.complete(observed, weights) - true)[lids])
        without.append((alone.complete(observed, weights) - true)[lids])
    assert psnr(with_basis) > psnr(without) + 2


def test_skin_tones_are_even() -> None:
    tones = np.array([skin_tone(seed) for seed in range(600)])
    assert np.histogram(tones, 3, (0, 1))[0].min() > 160
    luminance = np.array([skin_color(tone) @ [0.2126, 0.7152, 0.0722] for tone in (0.0, 0.5, 1.0)])
    assert luminance[0] > 3 * luminance[1] > 6 * luminance[2]


def test_a_person_is_the_same_for_the_same_seed() -> None:
    assert random_appearance(5) == random_appearance(5) != random_appearance(6)
    assert np.array_equal(albedo_of(5), albedo_of(5))


@pytest.mark.parametrize(
    ("change", "regions", "darker"),
    [
        ({"beard": 1.0}, ("face",), True),
        ({"bald": 1.0}, ("hair_cap",), False),
        ({"lid": (0.05, 0.02, 0.02)}, ("eyelids",), True),
        ({"circles": 2.0}, ("face",), True),
        ({"neck": 0.7}, ("neck",), True),
        ({"ear_blush": 1.0}, ("left_ear",), True),
    ],
)
def test_a_feature_changes_its_region(change: dict[str, float], regions: tuple[str, ...], darker: bool) -> None:
    usual = replace(APPEARANCES["vera"], shape=())
    person = Person(usual)
    images = [SkinPainter(person, each, VertexGrid(), 3).paint().albedo for each in (usual, replace(usual, **change))]  # type: ignore[arg-type]
    difference = (images[1] - images[0]).mean(1)
    inside = person.region(*regions)
    assert abs(difference[inside].mean()) > 3e-3 and (difference[inside].mean() < 0) == darker
    assert abs(difference[person.region("left_eyeball", "teeth_upper")]).max() == 0


def test_the_command_writes_the_prior_that_the_package_contains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its first 40 people the stored mean, and most of the variance in the stored basis."""
    assert main(["-o", str(tmp_path / "prior.npz"), "--people", "40", "--rank", "8"]) == 0
    made, kept = read_prior(tmp_path / "prior.npz"), read_prior(prior.FILE)
    assert np.corrcoef(made.mean.ravel(), kept.mean.ravel())[0, 1] > 0.97
    axes = np.linalg.qr(kept.basis.reshape(-1, 32))[0]
    flat = made.basis.reshape(-1, 8)[:, :3]
    assert ((axes.T @ flat) ** 2).sum() > 0.85 * (flat**2).sum()


def test_the_command_names_a_rank_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-o", str(tmp_path / "prior.npz"), "--people", "8", "--rank", "8"]) == 1
    assert "--people 8 --rank 8: expected a rank of at least 1, more people than that" in capsys.readouterr().err


def test_a_prior_survives_its_file(tmp_path: Path) -> None:
    model = head_prior()
    write_prior(tmp_path / "prior.npz", model.mean, model.basis, model.noise)
    again = read_prior(tmp_path / "prior.npz")
    assert np.allclose(again.mean, model.mean, atol=1e-9) and np.allclose(again.basis, model.basis, atol=1e-7)
    assert np.allclose(again.noise, model.noise, atol=1e-9)


def test_the_fit_finds_the_directions_of_made_people() -> None:
    rng = np.random.default_rng(2)
    directions = np.linalg.qr(rng.standard_normal((60, 2)))[0] * [3.0, 1.5]
    table = -1 + (rng.standard_normal((400, 2)) @ directions.T).reshape(400, 20, 3) + rng.normal(0, 0.02, (400, 20, 3))
    mean, basis, noise = fit_albedo(np.exp(table) - FLOOR, 2)
    assert np.abs(mean + 1).max() < 0.3
    found, wanted = basis.reshape(60, 2), directions
    assert np.allclose(found @ found.T, wanted @ wanted.T, atol=0.25)
    assert np.sqrt(noise.mean()) == pytest.approx(0.02, rel=0.1)
