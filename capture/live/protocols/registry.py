"""The network protocols by name, and pose sources and senders for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from difflib import get_close_matches

from avatar.errors import HeadsplatError

from . import ifacialmocap, live_link, vmc
from .send import UdpSender
from .udp import LOOPBACK, Protocol, UdpSource

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "livelink",
            "Live Link Face",
            live_link.PORT,
            lambda: live_link.parse_live_link,
            make_encoder=live_link.LiveLinkEncoder,
        ),
        Protocol("vmc", "VMC", vmc.PORT, vmc.VmcDecoder, make_encoder=lambda: vmc.encode_vmc),
        Protocol(
            "ifacialmocap",
            "iFacialMocap",
            ifacialmocap.PORT,
            lambda: ifacialmocap.parse_ifacialmocap,
            ifacialmocap.GREETING,
            make_encoder=lambda: ifacialmocap.encode_ifacialmocap,
        ),
    )
}


def register(protocol: Protocol) -> None:
    """Offer a further protocol, from now on in this process: to `--listen`, in the window's list of sources, and, if it
    has an encoder, to `--send`.

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
    protocol = _protocol(f"--listen {text}", name, PROTOCOLS)
    number = _port(f"--listen {text}", port) if colon else None
    if phone:
        _check_phone(phone, protocol, host)
    return UdpSource(protocol, host, number, phone)


def udp_sender(text: str) -> UdpSender:
    """The sender of `--send`.

    Args:
        text: livelink, vmc or ifacialmocap, with `:HOST` where the receiver is on another machine and `:PORT` where it
            differs from the protocol's default port.

    Raises:
        HeadsplatError: an unknown name, an invalid port, or a host whose name cannot be resolved.
    """
    where = f"--send {text[:80]}"
    name, *parts = text.strip().split(":")
    protocol = _protocol(where, name.lower(), {key: each for key, each in PROTOCOLS.items() if each.make_encoder})
    host, port = LOOPBACK, protocol.port
    if len(parts) > 2 or "" in parts:
        raise HeadsplatError(f"{where}: expected {protocol.name}, {protocol.name}:HOST or {protocol.name}:HOST:PORT")
    if len(parts) == 2 or (parts and parts[0].isdigit()):
        port = _port(where, parts.pop())
    if parts:
        host = parts[0]
    return UdpSender(protocol, host, port)


def _protocol(where: str, name: str, protocols: Mapping[str, Protocol]) -> Protocol:
    """The protocol `name` of `protocols`; `where` starts the message of the error."""
    if name not in protocols:
        close = get_close_matches(name, protocols, 1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(protocols)}"
        raise HeadsplatError(f"{where}: unknown protocol {name[:40]!r}; {hint}")
    return protocols[name]


def _port(where: str, port: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 1 << 16):
        raise HeadsplatError(f"{where}: invalid port {port[:20]!r}; give a number from 1 to 65535")
    return int(port)


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
