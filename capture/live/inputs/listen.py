"""The protocols by name, and inputs that speak them."""

from __future__ import annotations

from difflib import get_close_matches

from avatar.errors import HeadsplatError

from . import ifacialmocap, live_link, vmc
from .udp import LOOPBACK, Protocol, UdpInput

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("livelink", "Live Link Face", live_link.PORT, lambda: live_link.parse_live_link),
        Protocol("vmc", "VMC", vmc.PORT, vmc.VmcStream),
        Protocol(
            "ifacialmocap",
            "iFacialMocap",
            ifacialmocap.PORT,
            lambda: ifacialmocap.parse_ifacialmocap,
            ifacialmocap.GREETING,
        ),
    )
}


def listen(text: str, host: str = LOOPBACK, greet: str = "") -> UdpInput:
    """The input of `--listen`, not yet started.

    Args:
        text: livelink, vmc or ifacialmocap, with `:PORT` where it is another than the protocol's own.
        host: the address of this machine to listen at.
        greet: the address of a phone that sends only when asked (iFacialMocap).

    Raises:
        HeadsplatError: another name, or a port that is none.
    """
    name, colon, port = text.strip().lower().partition(":")
    if name not in PROTOCOLS:
        close = get_close_matches(name, PROTOCOLS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(PROTOCOLS)}"
        raise HeadsplatError(f"--listen {text}: no protocol is called {name[:40]!r}; {hint}")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
        raise HeadsplatError(f"--listen {text}: {port[:20]!r} is no port; give a number from 1 to 65535")
    return UdpInput(PROTOCOLS[name], host, int(port) if colon else None, greet)
