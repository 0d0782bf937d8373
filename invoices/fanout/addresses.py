"""Where events may be sent to, and the connection that goes nowhere else.

A name is looked up once for each connection. What was found is judged, and the socket connects to it: a name that
resolves to another address a moment later, or a redirect, leads nowhere.
"""

from __future__ import annotations

import socket
from http.cookiejar import DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import requests
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError, NewConnectionError
from urllib3.util import Url, parse_url
from urllib3.util.connection import create_connection

from invoices import deadline

MAX_URL_LENGTH = 2000
MAX_ADDRESSES_TRIED = 4  # of one name, so that a lease outlives the attempt
NAT64 = IPv6Network("64:ff9b::/96")  # an IPv4 address stands in its last four bytes
Address = IPv4Address | IPv6Address


class AddressRefused(Exception):
    """Nothing is sent there. The message says why, and what to do."""


def check(url: str) -> None:
    """Asks the name service, so not inside a transaction. Raises AddressRefused."""
    parts = _parts(url)
    permitted(str(parts.host), parts.port or (443 if parts.scheme == "https" else 80), scheme=str(parts.scheme))


def _parts(url: str) -> Url:
    """As `requests` will read it."""
    if len(url) > MAX_URL_LENGTH:
        raise AddressRefused(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if not url.isprintable() or " " in url:
        raise AddressRefused("The URL has a character that no URL has.")
    try:
        parts = parse_url(requests.Request("POST", url).prepare().url or "")
    except (requests.RequestException, LocationParseError, ValueError):
        raise AddressRefused("This is not a URL. It begins with https:// and a host.") from None
    if parts.scheme not in ("https", "http") or not parts.host:
        raise AddressRefused("The URL must begin with https:// and name a host.")
    if parts.auth:
        raise AddressRefused("The URL must not hold a user name or a password: the signature says who sends.")
    if parts.fragment:
        raise AddressRefused("The URL must not have a fragment (#…): it would not be sent.")
    return parts


def permitted(host: str, port: int, *, scheme: str) -> list[str]:
    """The addresses of this host, all of which are permitted. Raises AddressRefused."""
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressRefused(f"The host {host} has no address.") from None
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for text in addresses:
        address = _embedded(ip_address(text.partition("%")[0]))
        if any(address in network for network in settings.WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS):
            continue
        if not _is_public(address):
            raise AddressRefused(
                f"The host {host} has the address {text}, which is not public. Events are sent there only if "
                "WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS names its network."
            )
        if scheme != "https":
            raise AddressRefused(
                "Events have personal data, so the URL must begin with https://. Only networks that "
                "WEBHOOK_ENDPOINTS_ALLOWED_NETWORKS names are sent to without TLS."
            )
    return addresses[:MAX_ADDRESSES_TRIED]


def _embedded(address: Address) -> Address:
    """The IPv4 address to which an IPv6 address leads by its form, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    inside = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if inside is None and address in NAT64:
        inside = IPv4Address(int(address) & 0xFFFFFFFF)
    return inside or address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:  # fec0::/10, which Python counts as global
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


# --- the connection ---------------------------------------------------------------------------------------------------


class _Permitted(HTTPConnection):
    """Connects to an address that was judged. The name stays for the Host header, and for the certificate."""

    scheme = "http"

    def _new_conn(self) -> socket.socket:
        failed: OSError | None = None
        for address in permitted(self.host, self.port, scheme=self.scheme):
            try:
                return create_connection((address, self.port), self.timeout, socket_options=self.socket_options)
            except OSError as error:
                failed = error
        raise NewConnectionError(self, f"no connection: {failed}")


class _PlainConnection(deadline.PlainConnection, _Permitted):
    pass


class _SecureConnection(deadline.SecureConnection, _Permitted, HTTPSConnection):
    scheme = "https"


class _Adapter(deadline.Adapter):
    plain, secure = _PlainConnection, _SecureConnection


def session() -> requests.Session:
    """For one thread. It knows no proxy, which would connect in our place; no cookies; and follows no redirect where
    the caller says so."""
    made = requests.Session()
    made.trust_env = False
    made.verify = settings.WEBHOOK_ENDPOINTS_CA_FILE or True
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter: Any = _Adapter()
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made
