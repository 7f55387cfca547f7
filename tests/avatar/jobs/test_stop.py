"""What ends a block of a job: an event, or the block that the caller makes; with a request for what checks neither."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from avatar.jobs.notices import cause_of, is_requested, stoppable


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_an_event_makes_the_request_of_a_block_that_does_not_check_it() -> None:
    stop = threading.Event()
    requests: list[int] = []
    with stoppable(stop, "closing", lambda: requests.append(1)) as event:
        assert event is stop and not requests
        stop.set()
        wait_for(lambda: requests)
        assert is_requested(event) and cause_of(event) == "the caller"
    assert requests == [1]


def test_no_request_is_made_after_the_block() -> None:
    stop = threading.Event()
    requests: list[int] = []
    before = threading.active_count()
    with stoppable(stop, "closing", lambda: requests.append(1)):
        pass
    assert threading.active_count() == before
    stop.set()
    assert not requests


def test_a_function_receives_the_sentence_and_the_request() -> None:
    received: list[object] = []

    @contextmanager
    def block(sentence: str, request: Callable[[], object] | None = None) -> Iterator[threading.Event]:
        received.extend((sentence, request))
        yield threading.Event()

    with stoppable(block, "keeping the frames"), stoppable(block, "closing", wait_for):
        pass
    assert received == ["keeping the frames", None, "closing", wait_for]


@pytest.mark.parametrize("request_", [None, print])
def test_without_anything_that_ends_it_the_event_is_never_set(request_: Callable[[], object] | None) -> None:
    with stoppable(None, "closing", request_) as event:
        assert not is_requested(event) and cause_of(event) == "Ctrl-C"
