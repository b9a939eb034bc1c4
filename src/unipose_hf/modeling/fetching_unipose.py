# SPDX-License-Identifier: Apache-2.0
"""Pictures by their URLs, for servers too: no more bytes than a picture has, and none from inside the own network."""

import ipaddress
import os
import socket
import time
import urllib.request
from urllib.parse import urljoin, urlsplit

from huggingface_hub.utils import httpx

MOST_BYTES = 64 * 2**20
MOST_SECONDS = 60
MOST_REDIRECTS = 5
ALLOW_PRIVATE = "UNIPOSE_ALLOW_PRIVATE_URLS"  # an environment variable; "1" allows


def fetch(url: str) -> bytes:
    """
    What stands at an http or https URL.

    Addresses that are not of the public internet are refused, at redirects too, unless the environment variable
    `UNIPOSE_ALLOW_PRIVATE_URLS` is 1: a server that takes URLs from strangers would else show them what only it can
    reach.

    Raises:
        ValueError: the server cannot be reached or answers with an error, the address is private, or more than 64 MiB
            or a minute would be needed.
    """
    name, began = url[:200], time.monotonic()
    try:
        with httpx.Client(timeout=30) as client:
            for _ in range(MOST_REDIRECTS + 1):
                direct = _check_address(url)
                with client.stream("GET", url) as response:
                    if direct:  # a name may be answered otherwise the second time
                        _check_peer(response)
                    if not response.has_redirect_location:
                        response.raise_for_status()
                        return _content(response, began)
                    url = urljoin(url, response.headers["location"])
        raise ValueError(f"more than {MOST_REDIRECTS} redirects")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"{name} could not be fetched as a picture ({reason}).") from error


def _content(response, began):
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES // 2**20} MiB; download it, and make it smaller first")
        if time.monotonic() - began > MOST_SECONDS:
            raise ValueError(f"it takes longer than {MOST_SECONDS} seconds; download it first")
    return bytes(content)


def _check_address(url):
    """Refuses a private address; says whether it is us who connect to it, and not a proxy."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"it leads to {url[:200]!r}, which is neither http nor https")
    proxies = urllib.request.getproxies()
    direct = parts.scheme not in proxies and "all" not in proxies or bool(urllib.request.proxy_bypass(parts.hostname))
    try:
        found = {place[4][0] for place in socket.getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        if direct:
            raise ValueError(f"there is no host {parts.hostname}") from error
        return False  # the proxy knows it
    for address in found:
        _check_public(address)
    return direct


def _check_peer(response):
    stream = response.extensions.get("network_stream")
    address = stream and stream.get_extra_info("server_addr")
    if address:
        _check_public(address[0])


def _check_public(address):
    place = ipaddress.ip_address(address.split("%")[0])
    place = getattr(place, "ipv4_mapped", None) or place
    if (not place.is_global or place.is_multicast) and os.environ.get(ALLOW_PRIVATE) != "1":
        raise ValueError(f"{address} is no address of the public internet; set {ALLOW_PRIVATE}=1 to allow it")
