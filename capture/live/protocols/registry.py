"""The network protocols by name, and pose sources for them."""

from __future__ import annotations

import ipaddress
from difflib import get_close_matches

from avatar.errors import HeadsplatError

from . import ifacialmocap, live_link, vmc
from .udp import LOOPBACK, Protocol, UdpSource

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("livelink", "Live Link Face", live_link.PORT, lambda: live_link.parse_live_link),
        Protocol("vmc", "VMC", vmc.PORT, vmc.VmcDecoder),
        Protocol(
            "ifacialmocap",
            "iFacialMocap",
            ifacialmocap.PORT,
            lambda: ifacialmocap.parse_ifacialmocap,
            ifacialmocap.GREETING,
        ),
    )
}


def register(protocol: Protocol) -> None:
    """Offer a further protocol, from now on in this process: to `--listen`, and in the window's list of sources.

    Raises:
        ValueError: there is one with its name.
    """
    if protocol.name in PROTOCOLS:
        raise ValueError(f"protocol {protocol.name}: there is one with this name")
    PROTOCOLS[protocol.name] = protocol


def udp_source(text: str, host: str = LOOPBACK, phone: str = "") -> UdpSource:
    """The pose source of `--listen`, not yet started.

    Args:
        text: livelink, vmc or ifacialmocap, with `:PORT` where it differs from the protocol's default port.
        host: the address of this machine to listen on.
        phone: the address of a phone that sends after a greeting (iFacialMocap); no other address is sent to.

    Raises:
        HeadsplatError: an unknown name, an invalid port, or a phone that cannot be greeted.
    """
    name, colon, port = text.strip().lower().partition(":")
    if name not in PROTOCOLS:
        close = get_close_matches(name, PROTOCOLS, 1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(PROTOCOLS)}"
        raise HeadsplatError(f"--listen {text}: unknown protocol {name[:40]!r}; {hint}")
    if colon and not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 1 << 16):
        raise HeadsplatError(f"--listen {text}: invalid port {port[:20]!r}; give a number from 1 to 65535")
    if phone:
        _check_phone(phone, PROTOCOLS[name], host)
    return UdpSource(PROTOCOLS[name], host, int(port) if colon else None, phone)


def _check_phone(phone: str, protocol: Protocol, host: str) -> None:
    if not protocol.greeting:
        greeted = next(each for each in PROTOCOLS.values() if each.greeting)
        raise HeadsplatError(
            f"--phone {phone}: {protocol.title} needs no greeting; leave --phone out, or use --listen {greeted.name}"
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
