"""Snapshots of an avatar that trains: what a window takes, and that the training does not notice."""

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
from avatar.training.snapshot import SnapshotBuffer, snapshot_of
from avatar.types import Camera

CONFIG = TrainConfig(size=64, steps=12, gaussians=500)
CAMERA = Camera.facing(200.0, 72, 56)


def same(a: Avatar, b: Avatar) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def plain(tiny: Capture) -> Avatar:
    """What CONFIG trains without anybody looking. Read only."""
    return fit(tiny, load_head(), CONFIG)


def test_a_snapshot_is_the_avatar_in_memory_of_its_own(plain: Avatar) -> None:
    taken = snapshot_of(plain)
    assert same(taken, plain) and taken.head is plain.head
    theirs = {tensor.untyped_storage().data_ptr() for tensor in plain.state_dict().values() if tensor.numel()}
    ours = {tensor.untyped_storage().data_ptr() for tensor in taken.state_dict().values() if tensor.numel()}
    assert not theirs & ours


def test_a_snapshot_is_not_trained(plain: Avatar) -> None:
    taken = snapshot_of(plain)
    assert not taken.training
    assert not any(value.requires_grad or value.grad is not None for value in taken.parameters())


def test_a_snapshot_keeps_what_it_was_when_the_avatar_goes_on_changing(tiny_avatar: Avatar) -> None:
    growing = snapshot_of(tiny_avatar)
    taken = snapshot_of(growing)
    with torch.no_grad():
        for value in growing.state_dict().values():
            value.zero_()
    assert same(taken, tiny_avatar)


def test_a_snapshot_is_made_only_when_the_last_one_was_taken(tiny_avatar: Avatar) -> None:
    growth, newer = SnapshotBuffer(every=0), snapshot_of(tiny_avatar)
    growth.offer(tiny_avatar)
    growth._next = 0  # however long the copy took
    growth.offer(newer)
    first = growth.take()
    assert first is not None and growth.take() is None
    growth.offer(newer)
    assert growth.take() is not None


def test_snapshots_keep_their_distance_in_time(tiny_avatar: Avatar) -> None:
    growth = SnapshotBuffer(every=3600)
    growth.offer(tiny_avatar)
    assert growth.take() is not None
    growth.offer(tiny_avatar)
    assert growth.take() is None


def test_the_finished_avatar_replaces_a_snapshot_that_nobody_took(tiny_avatar: Avatar) -> None:
    growth, finished = SnapshotBuffer(), snapshot_of(tiny_avatar)
    finished.colors.zero_()
    growth.offer(tiny_avatar)
    assert not growth.finished
    growth.finish(finished)
    taken = growth.take()
    assert growth.finished and taken is not None and same(taken, finished)


def test_nothing_is_copied_for_a_window_that_has_gone(tiny_avatar: Avatar) -> None:
    growth = SnapshotBuffer(every=0)
    growth.offer(tiny_avatar)
    growth.leave()
    growth.offer(tiny_avatar)
    growth.finish(tiny_avatar)
    assert growth.take() is None


def test_waiting_gives_a_snapshot_that_comes_from_another_thread(tiny_avatar: Avatar) -> None:
    growth = SnapshotBuffer()
    assert growth.wait(0) is None
    with ThreadPoolExecutor(1) as other:
        other.submit(growth.offer, tiny_avatar)
        assert growth.wait(30) is not None


def test_growth_tells_where_the_training_stands(tiny: Capture) -> None:
    growth = SnapshotBuffer()
    assert growth.progress is None
    fit(tiny, load_head(), replace(CONFIG, steps=1), progress=growth.tell)
    assert growth.progress is not None and growth.progress.step == 1


def beside(tiny: Capture, growth: SnapshotBuffer, look: Callable[[Future[Avatar]], None]) -> Avatar:
    """Train on another thread, with snapshots, while `look` runs on this one."""
    with ThreadPoolExecutor(1) as worker:
        training = worker.submit(fit, tiny, load_head(), CONFIG, snapshot=growth.offer)
        look(training)
        return training.result()


def test_training_ends_in_the_same_bits_when_somebody_looks(tiny: Capture, plain: Avatar) -> None:
    growth, taken = SnapshotBuffer(every=0), []

    def look(training: Future[Avatar]) -> None:
        while not training.done():
            taken.append(growth.wait(0.05))

    assert same(beside(tiny, growth, look), plain)
    assert any(avatar is not None for avatar in taken)


def test_pictures_drawn_beside_a_training_are_those_drawn_alone(
    tiny: Capture, tiny_avatar: Avatar, plain: Avatar
) -> None:
    animator, params = Animator(tiny_avatar, 72, 56), tiny.params([2, 9])
    alone = [animator.draw(params[frame], CAMERA).clone() for frame in range(2)]
    wrong, drawn = 0, 0

    def look(training: Future[Avatar]) -> None:
        nonlocal wrong, drawn
        while not training.done():
            frame = drawn % 2
            wrong += not torch.equal(animator.draw(params[frame], CAMERA), alone[frame])
            drawn += 1

    assert same(beside(tiny, SnapshotBuffer(), look), plain)
    assert drawn and not wrong


def test_pytorch_on_one_thread_for_a_training_leaves_the_windows_thread_alone() -> None:
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
