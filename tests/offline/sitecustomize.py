"""Loaded by every Python that the tests start, and by that of the tests: no connection leaves this machine.

Who tries gets an error, and the attempt is noted, so that one made in a thread that swallows errors is seen, too.
"""

from __future__ import annotations

import ipaddress
import os
import sys

NOTES = "FAULTCELL_OFFLINE_NOTES"  # path of the file with the attempts


def watch(event: str, args: tuple[object, ...]) -> None:
    """An audit hook; see `sys.addaudithook`."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None  # others are sockets of this machine, or are connected
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    else:
        return
    if host is not None and not is_local(host):
        if os.environ.get(NOTES):
            with open(os.environ[NOTES], "a", encoding="utf-8") as notes:
                notes.write(f"{event} {host!r} by {' '.join(sys.argv)[:200]} {os.environ.get('PYTEST_CURRENT_TEST', '')}\n")
        raise ConnectionRefusedError(f"tests are offline: {event} {host!r}")


def is_local(host: object) -> bool:
    """Whether a host is this machine."""
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in ("localhost", "")
    return address.is_loopback or address.is_unspecified


sys.addaudithook(watch)
