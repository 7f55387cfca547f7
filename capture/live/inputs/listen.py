"""The protocols by name, and inputs that speak them."""

from __future__ import annotations

import ipaddress
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


def listen(text: str, host: str = LOOPBACK, phone: str = "") -> UdpInput:
    """The input of `--listen`, not yet started.

    Args:
        text: livelink, vmc or ifacialmocap, with `:PORT` where it is another than the protocol's own.
        host: the address of this machine to listen at.
        phone: the address of a phone that sends only when asked (iFacialMocap); nothing is sent to anybody else.

    Raises:
        HeadsplatError: another name, a port that is none, a phone that cannot be asked.
    """
    name, colon, port = text.strip().lower().partition(":")
    if name not in PROTOCOLS:
        close = get_close_matches(name, PROTOCOLS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(PROTOCOLS)}"
        raise HeadsplatError(f"--listen {text}: no protocol is called {name[:40]!r}; {hint}")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
        raise HeadsplatError(f"--listen {text}: {port[:20]!r} is no port; give a number from 1 to 65535")
    if phone:
        _check_phone(phone, PROTOCOLS[name], host)
    return UdpInput(PROTOCOLS[name], host, int(port) if colon else None, phone)


def _check_phone(phone: str, protocol: Protocol, host: str) -> None:
    if not protocol.greeting:
        asked = next(other for other in PROTOCOLS.values() if other.greeting)
        raise HeadsplatError(
            f"--phone {phone}: {protocol.title} sends by itself; leave it out, or --listen {asked.name}"
        )
    try:
        address = ipaddress.IPv4Address(phone)
    except ValueError:
        raise HeadsplatError(
            f"--phone {phone[:60]}: expected an address like 192.168.1.20; the app shows the phone's"
        ) from None
    if host == LOOPBACK and not address.is_loopback:
        raise HeadsplatError(
            f"--phone {phone}: it cannot send to {host}; give --host and this machine's address, or --host 0.0.0.0"
        )
