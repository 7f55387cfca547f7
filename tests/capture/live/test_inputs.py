"""What every input over the network has in common."""

from __future__ import annotations

import pytest

from capture.live.inputs import PROTOCOLS, listen


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_input_counts(protocol: str) -> None:
    assert {"received", "dropped", "malformed", "rate"} <= set(listen(protocol).stats())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_input_that_never_began_stops_in_silence(protocol: str) -> None:
    source = listen(protocol)
    source.stop()
    source.stop()
    assert source.latest() is None
