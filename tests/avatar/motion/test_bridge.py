"""Bridges between expression spaces: invariants for all pairs of heads."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.motion.bridge import Bridge, without_expressions
from avatar.motion.bridge_fit import fit_bridge
from avatar.motion.conversion_error import round_trip
from avatar.motion.correspondence import Correspondence
from avatar.motion.expression_space import ExpressionSpace, other_side
from avatar.types import JAW, JOINT_NAMES, NECK, Motion

from .made_up import LIDS, arkit_head, flame_head, mirrored_turns, mixed_names, mixing, turned

HEADS = {
    "arkit": arkit_head,
    "flame": flame_head,
    "other person": lambda: flame_head(other_person=True),
    "noisy": lambda: flame_head(noise=3e-4),
}
WAYS = [("arkit", "flame"), ("flame", "arkit"), ("arkit", "other person"), ("noisy", "arkit"), ("arkit", "noisy")]


@lru_cache(maxsize=16)
def bridge(a: str, b: str) -> Bridge:
    return between(HEADS[a](), HEADS[b]())


def between(a: HeadModel, b: HeadModel) -> Bridge:
    return Bridge(a.expression_names, b.expression_names, fit_bridge(a, b))


def frames(head: HeadModel, count: int = 40, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Plausible weights and turns: 0..1 for names, around 0 for modes."""
    random = torch.Generator().manual_seed(1)
    weights = torch.rand(count, len(head.expression_names), generator=random, dtype=torch.float64)
    modes = [i for i, name in enumerate(head.expression_names) if name.startswith("expr")]
    weights[:, modes] = spread * torch.randn(count, len(modes), generator=random, dtype=torch.float64)
    turns = 0.1 * torch.randn(count, len(JOINT_NAMES), 3, generator=random, dtype=torch.float64)
    return weights, turns


def mirror_of(head: HeadModel) -> torch.Tensor:
    return torch.from_numpy(ExpressionSpace.of(head).mirror(Correspondence.of(head, head)))


def test_bridge_from_an_arkit_head_to_itself_changes_nothing() -> None:
    weights, turns = frames(arkit_head())
    found, found_turns = bridge("arkit", "arkit")(weights, turns)
    assert torch.equal(found, weights)
    assert torch.equal(found_turns, turns)


def test_fit_of_a_head_to_itself_is_nearly_the_identity() -> None:
    head = arkit_head()
    fitted = between(head, replace(head, capabilities=head.capabilities - {"arkit"}))
    rows = [row for row, name in enumerate(head.expression_names) if name not in LIDS]
    one_by_one = torch.eye(len(head.expression_names), dtype=torch.float64)[rows]
    found, _ = fitted(one_by_one, torch.zeros(len(rows), len(JOINT_NAMES), 3))
    assert (found - one_by_one).abs().max() < 0.05


@pytest.mark.parametrize(("a", "b"), WAYS)
def test_zero_stays_zero(a: str, b: str) -> None:
    fitted = bridge(a, b)
    weights, turns = fitted(torch.zeros(2, len(fitted.names_a)), torch.zeros(2, len(JOINT_NAMES), 3))
    assert not weights.any()
    assert not turns.any()


@pytest.mark.parametrize(("a", "b"), WAYS)
def test_all_joints_turn_as_they_did(a: str, b: str) -> None:
    weights, turns = frames(HEADS[a]())
    found, found_turns = bridge(a, b)(weights, turns)
    before = turned(HEADS[a](), weights.float(), turns.float())
    after = turned(HEADS[b](), found.float(), found_turns.float())
    assert (after - before).abs().max() < 1e-5


def test_jaw_open_is_the_same_angle_by_another_weight() -> None:
    weights = torch.zeros(1, len(arkit_head().expression_names))
    weights[0, arkit_head().expression_index("jawOpen")] = 0.8
    found, turns = bridge("arkit", "flame")(weights, torch.zeros(1, len(JOINT_NAMES), 3))
    dirs = [head.joint_dirs[JAW, 0, head.expression_index("jawOpen")].item() for head in (arkit_head(), flame_head())]
    assert found[0, flame_head().expression_index("jawOpen")] == pytest.approx(0.8 * dirs[0] / dirs[1], abs=1e-3)
    assert turns[0, JAW].abs().max() < 1e-3


def test_a_jaw_opened_beyond_the_control_keeps_the_rest_in_the_joint() -> None:
    turns = torch.zeros(1, len(JOINT_NAMES), 3)
    turns[0, JAW, 0] = 0.6
    found, left = bridge("flame", "arkit")(torch.zeros(1, len(flame_head().expression_names)), turns)
    column = arkit_head().expression_index("jawOpen")
    assert found[0, column] == pytest.approx(1.0, abs=1e-6)
    assert left[0, JAW, 0] == pytest.approx(0.6 - arkit_head().joint_dirs[JAW, 0, column].item(), abs=1e-5)


def test_a_turning_jaw_asks_for_no_other_expression() -> None:
    turns = torch.zeros(1, len(JOINT_NAMES), 3)
    turns[0, JAW, 0] = 0.3
    found, _ = bridge("flame", "arkit")(torch.zeros(1, len(flame_head().expression_names)), turns)
    found[0, arkit_head().expression_index("jawOpen")] = 0
    assert found.abs().max() < 1e-6


def test_neck_and_root_pass_through() -> None:
    weights, turns = frames(flame_head())
    _, found = bridge("flame", "arkit")(weights, turns)
    assert torch.equal(found[:, : NECK + 1], turns[:, : NECK + 1])


@pytest.mark.parametrize(("a", "b"), WAYS)
def test_mirrored_input_gives_the_mirrored_output(a: str, b: str) -> None:
    weights, turns = frames(HEADS[a]())
    fitted = bridge(a, b)
    found, found_turns = fitted(weights, turns)
    swapped, swapped_turns = fitted(weights @ mirror_of(HEADS[a]()).T, mirrored_turns(turns))
    torch.testing.assert_close(swapped, found @ mirror_of(HEADS[b]()).T, atol=1e-7, rtol=0)
    torch.testing.assert_close(swapped_turns, mirrored_turns(found_turns), atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", ["arkit", "flame", "noisy"])
def test_mirroring_twice_is_nothing(name: str) -> None:
    mirror = mirror_of(HEADS[name]())
    torch.testing.assert_close(mirror @ mirror, torch.eye(len(mirror), dtype=torch.float64), atol=1e-9, rtol=0)


def test_mirror_of_mixed_modes_is_the_true_one() -> None:
    names = mixed_names(arkit_head())
    swapped = torch.eye(len(names), dtype=torch.float64)[[names.index(other_side(name)) for name in names]]
    mix = mixing(len(names)).double()
    found = mirror_of(flame_head())[: len(names), : len(names)]  # seen below in weights of what was mixed
    assert (mix @ found @ torch.linalg.inv(mix) - swapped).abs().max() < 0.05


@pytest.mark.parametrize("a", ["flame", "noisy"])
def test_names_stay_within_their_box_however_wild_the_modes(a: str) -> None:
    found, _ = bridge(a, "arkit")(*frames(HEADS[a](), spread=5.0))
    assert found.min() >= 0
    assert found.max() <= 1


def test_modes_come_out_as_the_mix_that_made_them() -> None:
    names = mixed_names(arkit_head())
    rows = [arkit_head().expression_index(name) for name in names]
    weights = torch.eye(len(arkit_head().expression_names))[rows]
    found, _ = bridge("arkit", "flame")(weights, torch.zeros(len(rows), len(JOINT_NAMES), 3))
    error = found[:, : len(names)] @ mixing(len(names)).T - torch.eye(len(names))  # in weights of what was mixed
    certain = [row for row, name in enumerate(names) if not name.startswith("eyeBlink")]  # the extra lids blink as well
    assert error[certain][:, certain].abs().max() < 0.05


@pytest.mark.parametrize("other", ["flame", "other person"])
def test_round_trip_brings_every_shape_back(other: str) -> None:
    lost = {"tongueOut", *LIDS}  # no landmark sees the tongue; blinks and lids come back as blinks
    rows = [
        row for row in round_trip(bridge("arkit", other), bridge(other, "arkit"), arkit_head()) if row.name not in lost
    ]
    assert min(row.weight for row in rows) > 0.95
    assert max(row.error for row in rows) < 0.04
    assert np.mean([row.error for row in rows]) < 0.01


def test_round_trip_survives_lopsided_noise() -> None:
    rows = round_trip(bridge("arkit", "noisy"), bridge("noisy", "arkit"), arkit_head())
    assert np.mean([row.error for row in rows if row.name not in ("tongueOut", *LIDS)]) < 0.08


def test_flames_lid_shapes_become_blinks() -> None:
    weights = torch.zeros(1, len(flame_head().expression_names))
    weights[0, flame_head().expression_index("eyelidLeft")] = 1
    found, _ = bridge("flame", "arkit")(weights, torch.zeros(1, len(JOINT_NAMES), 3))
    assert found[0, arkit_head().expression_index("eyeBlinkLeft")] > 0.9
    assert found[0, arkit_head().expression_index("eyeBlinkRight")] < 0.02


def test_blink_shuts_the_lids_of_the_other_head() -> None:
    head, other = arkit_head(), flame_head(other_person=True)
    weights = torch.zeros(1, len(head.expression_names))
    weights[0, [head.expression_index(f"eyeBlink{side}") for side in ("Left", "Right")]] = 1
    found, turns = bridge("arkit", "other person")(weights, torch.zeros(1, len(JOINT_NAMES), 3))
    params = replace(other.neutral_params(), expression=found, joint_rot=turns)
    shut, rest = (other.landmarks(points)[0] for points in (other.vertices(params), other.v_template[None]))
    assert (shut[159] - shut[145]).norm() < 0.15 * (rest[159] - rest[145]).norm()


def test_a_head_whose_lids_are_not_stored_blinks_by_its_modes() -> None:
    names = flame_head().expression_names
    fitted = between(arkit_head(), without_expressions(flame_head(), LIDS))
    blink = torch.eye(len(fitted.names_a))[[arkit_head().expression_index("eyeBlinkLeft")]]
    found, _ = fitted(blink, torch.zeros(1, len(JOINT_NAMES), 3))
    assert not found[:, [names.index(lid) for lid in LIDS]].any() and found[:, :10].abs().max() > 0.05
    expressed = {row.name: row.expressed for row in fitted.report()}
    assert expressed["eyeBlinkLeft"] > 0.95


def test_report_lists_what_cannot_be_expressed() -> None:
    expressed = {row.name: row.expressed for row in bridge("arkit", "flame").report()}
    assert expressed["tongueOut"] < 0.2
    sideways = {expressed.pop(name) for name in ("jawLeft", "jawRight")}  # that head's jaw rotates; ours also shifts
    assert min(part for name, part in expressed.items() if name != "tongueOut") > 0.8
    assert 0.3 < min(sideways) < 0.9


def test_report_of_a_smaller_space_names_the_shape_it_lacks() -> None:
    head = arkit_head()
    kept = [i for i, name in enumerate(head.expression_names) if name != "cheekPuff"]
    smaller = replace(
        head,
        expression_names=tuple(head.expression_names[i] for i in kept),
        exprdirs=head.exprdirs[:, :, kept],
        joint_dirs=head.joint_dirs[:, :, kept],
        curvedirs=head.curvedirs[:, :, :0],
        curve_columns=head.curve_columns[:0],
    )
    expressed = {row.name: row.expressed for row in between(head, smaller).report()}
    assert expressed["cheekPuff"] < 0.6
    assert expressed["mouthSmileLeft"] == pytest.approx(1.0, abs=1e-6)


def test_same_heads_give_the_same_bridge_to_the_bit() -> None:
    first, second = (fit_bridge(arkit_head(), flame_head(noise=3e-4)) for _ in range(2))
    assert all(np.array_equal(getattr(first, name), getattr(second, name)) for name in first.__dataclass_fields__)


def test_a_frame_does_not_depend_on_the_frames_around_it() -> None:
    weights, turns = frames(flame_head())
    together, _ = bridge("flame", "arkit")(weights, turns)
    alone, _ = bridge("flame", "arkit")(weights[7:8], turns[7:8])
    torch.testing.assert_close(together[7:8], alone, atol=1e-7, rtol=0)


def test_motion_is_matched_by_name_and_renamed() -> None:
    motion = Motion(
        time=torch.arange(3) / 30,
        names=("jawOpen", "somethingElse"),
        weights=torch.tensor([[0.0, 1.0], [0.5, 1.0], [1.0, 1.0]]),
        space="arkit52",
        joint_rot=torch.zeros(3, len(JOINT_NAMES), 3),
        translation=torch.ones(3, 3),
        resting="zero",
    )
    converted = bridge("arkit", "flame").motion(motion, "flame")
    assert converted.resting == "zero" and bridge("arkit", "flame").motion(motion[:1], "flame").resting == "zero"
    assert (converted.space, converted.names) == ("flame", flame_head().expression_names)
    jaw = converted.weights[:, flame_head().expression_index("jawOpen")]
    assert jaw[0] == 0
    assert jaw[2] == pytest.approx(2 * jaw[1].item(), rel=1e-4)
    assert torch.equal(converted.translation, motion.translation)
    assert converted.notes == ("not expressible on the other head: somethingElse (up to 1.00 in 3 frames)",)


def test_motion_without_a_known_name_is_an_error_of_ours() -> None:
    motion = Motion(torch.zeros(1), ("foo",), torch.ones(1, 1), "odd", torch.zeros(1, 5, 3), torch.zeros(1, 3))
    with pytest.raises(HeadsplatError, match=r"motion in odd: none of its names \(foo\.\.\.\) is an expression of its"):
        bridge("arkit", "flame").motion(motion, "flame")


def test_wrong_number_of_weights_names_both_counts() -> None:
    with pytest.raises(ValueError, match=r"weights: expected \[T,54\], got \[1,3\]"):
        bridge("arkit", "flame")(torch.zeros(1, 3), torch.zeros(1, 5, 3))


def test_head_without_landmarks_is_an_error_of_ours() -> None:
    head = flame_head()
    bare = replace(head, landmark_faces=head.landmark_faces[:0], landmark_bary=head.landmark_bary[:0])
    with pytest.raises(HeadsplatError, match="made-up FLAME: a bridge needs its 478 landmarks, found 0"):
        fit_bridge(arkit_head(), bare)
