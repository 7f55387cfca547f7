"""Snapshots of an avatar in training: what the window gets, and that training gives the same bits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.rendering.animator import Animator
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.report import TrainResult
from avatar.training.snapshot import SnapshotBuffer, snapshot_of
from avatar.types import Camera

CONFIG = TrainConfig(size=64, steps=12, gaussians=500)
CAMERA = Camera.facing(200.0, 72, 56)


def same(a: Avatar, b: Avatar) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def undisturbed(tiny: Capture) -> Avatar:
    """The avatar trained by CONFIG without snapshots. Read only."""
    return fit(tiny, load_head(), CONFIG).avatar


def test_a_snapshot_shares_no_memory_with_the_avatar(undisturbed: Avatar) -> None:
    taken = snapshot_of(undisturbed)
    assert same(taken, undisturbed) and taken.head is undisturbed.head
    one, other = (
        {tensor.untyped_storage().data_ptr() for tensor in avatar.state_dict().values() if tensor.numel()}
        for avatar in (undisturbed, taken)
    )
    assert not one & other


def test_a_snapshot_requires_no_gradients(undisturbed: Avatar) -> None:
    taken = snapshot_of(undisturbed)
    assert not taken.training
    assert not any(value.requires_grad or value.grad is not None for value in taken.parameters())


def test_a_snapshot_does_not_change_with_the_avatar(tiny_avatar: Avatar) -> None:
    changing = snapshot_of(tiny_avatar)
    taken = snapshot_of(changing)
    with torch.no_grad():
        for value in changing.state_dict().values():
            value.zero_()
    assert same(taken, tiny_avatar)


def test_a_snapshot_is_made_only_when_the_last_one_was_taken(tiny_avatar: Avatar) -> None:
    snapshots, newer = SnapshotBuffer(every=0), snapshot_of(tiny_avatar)
    snapshots.offer(tiny_avatar)
    snapshots._next = 0  # however long the copy took
    snapshots.offer(newer)
    first = snapshots.take()
    assert first is not None and snapshots.take() is None
    snapshots.offer(newer)
    assert snapshots.take() is not None


def test_snapshots_have_a_minimum_interval(tiny_avatar: Avatar) -> None:
    snapshots = SnapshotBuffer(every=3600)
    snapshots.offer(tiny_avatar)
    assert snapshots.take() is not None
    snapshots.offer(tiny_avatar)
    assert snapshots.take() is None


def test_the_finished_avatar_replaces_a_snapshot_that_was_not_taken(tiny_avatar: Avatar) -> None:
    snapshots, finished = SnapshotBuffer(), snapshot_of(tiny_avatar)
    finished.colors.zero_()
    snapshots.offer(tiny_avatar)
    assert not snapshots.finished
    snapshots.finish(finished)
    taken = snapshots.take()
    assert snapshots.finished and taken is not None and same(taken, finished)


def test_a_closed_buffer_makes_no_snapshots(tiny_avatar: Avatar) -> None:
    snapshots = SnapshotBuffer(every=0)
    snapshots.offer(tiny_avatar)
    snapshots.close()
    snapshots.offer(tiny_avatar)
    snapshots.finish(tiny_avatar)
    assert snapshots.take() is None


def test_wait_returns_a_snapshot_from_another_thread(tiny_avatar: Avatar) -> None:
    snapshots = SnapshotBuffer()
    assert snapshots.wait(0) is None
    with ThreadPoolExecutor(1) as other:
        other.submit(snapshots.offer, tiny_avatar)
        assert snapshots.wait(30) is not None


def test_the_buffer_keeps_the_progress_of_the_training(tiny: Capture) -> None:
    snapshots = SnapshotBuffer()
    assert snapshots.progress is None
    fit(tiny, load_head(), replace(CONFIG, steps=1), progress=snapshots.report)
    assert snapshots.progress is not None and snapshots.progress.step == 1


def trained_during(tiny: Capture, snapshots: SnapshotBuffer, action: Callable[[Future[TrainResult]], None]) -> Avatar:
    """The avatar trained on another thread, with snapshots, while `action` runs on this one."""
    with ThreadPoolExecutor(1) as worker:
        training = worker.submit(fit, tiny, load_head(), CONFIG, snapshot=snapshots.offer)
        action(training)
        return training.result().avatar


def test_training_gives_the_same_bits_while_snapshots_are_taken(tiny: Capture, undisturbed: Avatar) -> None:
    snapshots, taken = SnapshotBuffer(every=0), []

    def take(training: Future[TrainResult]) -> None:
        while not training.done():
            taken.append(snapshots.wait(0.05))

    assert same(trained_during(tiny, snapshots, take), undisturbed)
    assert any(avatar is not None for avatar in taken)


def test_frames_rendered_during_a_training_are_those_rendered_without_one(
    tiny: Capture, tiny_avatar: Avatar, undisturbed: Avatar
) -> None:
    animator, params = Animator(tiny_avatar, 72, 56), tiny.params([2, 9])
    expected = [animator.render(params[frame], CAMERA).clone() for frame in range(2)]
    wrong, rendered = 0, 0

    def render(training: Future[TrainResult]) -> None:
        nonlocal wrong, rendered
        while not training.done():
            frame = rendered % 2
            wrong += not torch.equal(animator.render(params[frame], CAMERA), expected[frame])
            rendered += 1

    assert same(trained_during(tiny, SnapshotBuffer(), render), undisturbed)
    assert rendered and not wrong


def test_one_thread_for_a_training_does_not_change_the_threads_of_the_window() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(1) as worker:
            block = ops.one_thread()
            worker.submit(block.__enter__).result()
            assert (torch.get_num_threads(), worker.submit(torch.get_num_threads).result()) == (3, 1)
            with ops.one_thread():
                worker.submit(block.__exit__, None, None, None).result()
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
