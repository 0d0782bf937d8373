"""Which client sent a request, and whether over TLS: what a proxy says of it is believed from our own proxies alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# A number of proxies that every request passes, whatever their addresses; or the networks in which all proxies are.
Proxies = int | tuple[Network, ...]

# What a proxy says of a client. Behind this file nobody reads them: a library that looks into them finds nothing.
FORWARDING_HEADERS = frozenset(
    "forwarded x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-scheme x-forwarded-ssl "
    "x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip".split()
)


def proxies(value: str) -> Proxies:
    """The setting TRUSTED_PROXIES. Raises ImproperlyConfigured, with what to write instead."""
    words = [word.strip() for word in value.split(",") if word.strip()]
    if len(words) == 1 and words[0].isdecimal():
        return int(words[0])
    try:
        return tuple(ipaddress.ip_network(word) for word in words)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"TRUSTED_PROXIES: {error}. Write the networks of your proxies with commas between them, such as "
            "`10.0.0.0/8, 192.0.2.7`; or, where nobody else reaches the port, how many proxies a request passes: `1`."
        ) from None


def client(peer: str, headers: Mapping[str, str], trusted: Proxies) -> tuple[str, bool]:
    """The client's address, and whether it came to our outermost proxy over TLS. `peer` is who opened the connection;
    the names of `headers` are in lower case.

    Each proxy appends to X-Forwarded-For who called it. So the list is read from its end, for as long as the one who
    wrote an entry is a proxy of ours; the client may have written what stands before. A request that did not pass all
    the proxies of a number, or comes from outside their networks, is the peer's own, and is believed nothing.
    """
    entries = [entry.strip() for entry in headers.get("x-forwarded-for", "").split(",") if entry.strip()]
    if isinstance(trusted, int):
        if not 0 < trusted <= len(entries):
            return peer, False
        addresses = [_address(entry) for entry in entries[-trusted:]]
        # An entry that is no address was written by a proxy of ours that does not know the client's either.
        found = next((each for each in addresses if each is not None), None)
        return str(found) if found else peer, _over_tls(headers)
    caller = _address(peer)
    if not _is_in(caller, trusted):
        return peer, False
    for entry in reversed(entries):
        address = _address(entry)
        if address is None:
            break
        caller = address
        if not _is_in(caller, trusted):
            break
    return str(caller), _over_tls(headers)


def _over_tls(headers: Mapping[str, str]) -> bool:
    """A list is not believed: who wrote which of its entries cannot be told."""
    return headers.get("x-forwarded-proto", "").strip().lower() == "https"


def _is_in(address: Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """The address in an entry, which may have a port; None where there is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found
