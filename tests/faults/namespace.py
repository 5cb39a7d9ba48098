"""A network of two: this machine, and a namespace whose clients can vanish without a word."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

__all__ = ["Namespace"]

CLONE_NEWNET = 0x40000000
_made = count()


class Namespace:
    """A network namespace, joined to this one by a pair of virtual interfaces.

    The addresses are of the range for benchmarks (RFC 2544: 198.18.0.0/15); they and the names are made of
    the process's number, so that sessions do not meet.
    """

    def __init__(self) -> None:
        number = (os.getpid() * 16 + next(_made)) % (1 << 15)
        self.name = f"unbroken-{number}"
        network = int(IPv4Address("198.18.0.0")) + number * 4
        self.host, self._peer = str(IPv4Address(network + 1)), str(IPv4Address(network + 2))
        self._here, self._there = f"ub{number}h", f"ub{number}p"

    def create(self) -> None:
        """Make it.

        Raises:
            PermissionError: the rights, or the tool, to make one are missing.
        """
        try:
            _ip("netns", "add", self.name)
        except (OSError, subprocess.CalledProcessError) as exc:
            raise PermissionError(f"no network namespace can be made here: {exc}") from exc
        _ip("link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self.name)
        _ip("addr", "add", f"{self.host}/30", "dev", self._here)
        _ip("link", "set", self._here, "up")
        _ip("-n", self.name, "addr", "add", f"{self._peer}/30", "dev", self._there)
        _ip("-n", self.name, "link", "set", self._there, "up")

    def make_socket(self) -> socket.socket:
        """Make a socket of the namespace: it belongs to the one that the making thread is in, for good."""
        with ThreadPoolExecutor(1) as elsewhere:
            return elsewhere.submit(self._enter_and_make_socket).result()

    def _enter_and_make_socket(self) -> socket.socket:
        with Path("/run/netns", self.name).open() as namespace:  # os.setns is there from Python 3.12 on
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"could not enter {self.name}")
        return socket.socket()

    def vanish(self) -> None:
        """Drop whatever its clients send from now on, acknowledgements and answers to probes included."""
        _ip("-n", self.name, "route", "add", "blackhole", f"{self.host}/32")

    def remove(self) -> None:
        """Take it away. Sockets that still hope for an answer keep it in the kernel, but joined to nothing."""
        _ip("link", "delete", self._here)
        _ip("netns", "delete", self.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)
