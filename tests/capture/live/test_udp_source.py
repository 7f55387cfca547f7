"""Properties of every network source."""

from __future__ import annotations

import pytest

from capture.live.protocols import PROTOCOLS, udp_source


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_source_has_the_common_counters(protocol: str) -> None:
    assert {"received", "dropped", "malformed", "rate"} <= set(udp_source(protocol).stats())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_source_that_was_not_started_can_be_stopped(protocol: str) -> None:
    source = udp_source(protocol)
    source.stop()
    source.stop()
    assert source.latest() is None
