from __future__ import annotations

import numpy as np
import pytest

from avatar.geometry.block_banded import BlockBandedMatrix
from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from avatar.geometry.similarity import fit_similarity
from capture.tracker.linalg import apply, apply_transpose, gram
from capture.tracker.problem import POSE, FitOptions, FrameProblem, box_step, linearize
from tests.capture.faces.landmark_fixture import CAMERA, make_model, make_states, observe


def _problem() -> tuple[FrameProblem, np.ndarray]:
    model = make_model()
    identity = np.random.default_rng(3).normal(size=model.identity_size) * 0.5
    return FrameProblem.create(model, identity, CAMERA, 100.0, FitOptions(huber=1e9)), identity


def test_jacobian_matches_finite_differences():
    problem, identity = _problem()
    state = make_states(9)[8]
    target = observe(problem.model, identity, make_states(3), np.arange(3) / 30).targets[2]
    lin = linearize(problem, state, target, np.ones(468))
    limits = problem.model.limits
    for column in range(POSE + len(problem.model.names)):
        step = np.zeros(POSE + len(problem.model.names))
        step[column] = 1e-6
        inside = type(state)(state.rotation, state.translation, np.full_like(state.expression, 0.4))
        ahead, behind = inside.after_step(step, limits), inside.after_step(-step, limits)
        numeric = (problem.reproject(ahead) - problem.reproject(behind)).ravel() / 2e-6 / problem.unit
        exact = linearize(problem, inside, target, np.ones(468)).jacobian[:, column]
        np.testing.assert_allclose(exact, numeric, atol=1e-4 * np.abs(numeric).max() + 1e-6)
    assert lin.residual.shape == (936,)


def test_box_step_stays_within_the_limits_and_has_a_lower_cost_than_the_clipped_step():
    rng = np.random.default_rng(0)
    for _ in range(50):
        root = rng.normal(size=(14, 14))
        matrix, gradient = root.T @ root + 0.1 * np.eye(14), rng.normal(size=14) * 3
        expression = rng.uniform(0, 1, 8)
        step = box_step(matrix, gradient, expression, np.repeat([[0.0], [1.0]], 8, 1), passes=8)
        target = expression + step[POSE:]
        assert target.min() >= -1e-9 and target.max() <= 1 + 1e-9
        clipped = -np.linalg.solve(matrix, gradient)
        clipped[POSE:] = np.clip(expression + clipped[POSE:], 0, 1) - expression

        def cost(d, matrix=matrix, gradient=gradient):
            return 0.5 * d @ matrix @ d + gradient @ d

        assert cost(step) <= cost(clipped) + 1e-9


def test_block_banded_solution_equals_the_dense_one():
    rng = np.random.default_rng(0)
    count, size = 8, 5
    system = BlockBandedMatrix.zeros(count, size)
    roots = rng.normal(size=(count, size, size))
    system.diagonal[:] = np.swapaxes(roots, 1, 2) @ roots + 10 * np.eye(size)
    system.next[:-1], system.second[:-2] = rng.normal(size=(count - 1, size)), rng.normal(size=(count - 2, size))
    dense = np.zeros((count * size, count * size))
    for k in range(count):
        rows = slice(k * size, (k + 1) * size)
        dense[rows, rows] = system.diagonal[k]
        for offset, band in ((1, system.next), (2, system.second)):
            if k + offset < count:
                far = slice((k + offset) * size, (k + offset + 1) * size)
                dense[far, rows] = dense[rows, far] = np.diag(band[k])
    right = rng.normal(size=(count, size))
    expected = np.linalg.solve(dense, right.ravel()).reshape(count, size)
    np.testing.assert_allclose(system.solve(right), expected, atol=1e-12)


def test_block_banded_solver_is_exact_on_a_long_stiff_clip():
    # A recursion with unsymmetric updates loses all digits here: stiffness 1e7 against data weights of 1, 300 frames.
    count, size = 300, 4
    system = BlockBandedMatrix.zeros(count, size)
    system.diagonal[:] = np.eye(size) + 0.3
    difference = np.diff(np.eye(count), n=2, axis=0)
    stiff = 1e7 * difference.T @ difference
    index = np.arange(size)
    system.diagonal[:, index, index] += np.diag(stiff)[:, None]
    system.next[:-1], system.second[:-2] = np.diag(stiff, 1)[:, None], np.diag(stiff, 2)[:, None]
    truth = np.sin(np.arange(count) / 40)[:, None] * np.ones(size)
    right = (stiff @ truth) + truth @ (np.eye(size) + 0.3)
    np.testing.assert_allclose(system.solve(right), truth, atol=1e-4)


def test_blockwise_products_equal_whole_products():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(936, 53)), rng.normal(size=(936, 41))
    np.testing.assert_allclose(gram(a, b), a.T @ b, atol=1e-10)
    np.testing.assert_allclose(apply_transpose(a, b[:, 0]), a.T @ b[:, 0], atol=1e-10)
    np.testing.assert_allclose(apply(a, a[0]), a @ a[0], atol=1e-10)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, 3.0])
def test_log_is_the_inverse_of_exp(angle):
    axis = np.array([0.36, -0.48, 0.8])
    np.testing.assert_allclose(log_rotation(exp_rotation(axis * angle)), axis * angle, atol=1e-9)


def test_similarity_fit_recovers_rotation_and_scale():
    rng = np.random.default_rng(0)
    points, rotation = rng.normal(size=(20, 3)), exp_rotation(np.array([0.3, -0.7, 0.2]))
    found, scale = fit_similarity(points, 2.5 * points @ rotation.T + 1.0)
    np.testing.assert_allclose(found, rotation, atol=1e-12)
    assert scale == pytest.approx(2.5)
