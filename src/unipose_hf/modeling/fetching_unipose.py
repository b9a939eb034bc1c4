# SPDX-License-Identifier: Apache-2.0
"""Safe download of images by URL, also on servers: limited in size and time, and never from a private network."""

import ipaddress
import os
import socket
import time
import urllib.request
from urllib.parse import urljoin, urlsplit

from huggingface_hub.utils import httpx

MAX_BYTES = 64 * 2**20
MAX_SECONDS = 60
MAX_REDIRECTS = 5
ALLOW_PRIVATE = "UNIPOSE_ALLOW_PRIVATE_URLS"  # an environment variable; "1" allows


def fetch(url: str) -> bytes:
    """
    Returns the content of an http or https URL.

    Addresses outside the public internet are refused, also in redirects, unless the environment variable
    `UNIPOSE_ALLOW_PRIVATE_URLS` is 1. Otherwise a server that accepts URLs from strangers would expose what only it
    can reach.

    Raises:
        ValueError: the server cannot be reached or returns an error, the address is private, or the download exceeds
            64 MiB or one minute.
    """
    name, began = url[:200], time.monotonic()
    try:
        with httpx.Client(timeout=30) as client:
            for _ in range(MAX_REDIRECTS + 1):
                direct = _check_address(url)
                with client.stream("GET", url) as response:
                    if direct:  # the second name lookup may return another address
                        _check_peer(response)
                    if not response.has_redirect_location:
                        response.raise_for_status()
                        return _content(response, began)
                    url = urljoin(url, response.headers["location"])
        raise ValueError(f"more than {MAX_REDIRECTS} redirects")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"{name} could not be fetched as an image ({reason}).") from error


def _content(response, began):
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB; download it and make it smaller first")
        if time.monotonic() - began > MAX_SECONDS:
            raise ValueError(f"it takes longer than {MAX_SECONDS} seconds; download it first")
    return bytes(content)


def _check_address(url):
    """Raises for a private address; returns whether the connection is direct, without a proxy."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"it leads to {url[:200]!r}, which is neither http nor https")
    proxies = urllib.request.getproxies()
    direct = parts.scheme not in proxies and "all" not in proxies or bool(urllib.request.proxy_bypass(parts.hostname))
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        if direct:
            raise ValueError(f"the host {parts.hostname} was not found") from error
        return False  # the proxy resolves it
    for address in found:
        _check_public(address)
    return direct


def _check_peer(response):
    stream = response.extensions.get("network_stream")
    address = stream and stream.get_extra_info("server_addr")
    if address:
        _check_public(address[0])


def _check_public(address):
    ip = ipaddress.ip_address(address.split("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if (not ip.is_global or ip.is_multicast) and os.environ.get(ALLOW_PRIVATE) != "1":
        raise ValueError(f"{address} is not a public internet address; set {ALLOW_PRIVATE}=1 to allow it")
