"""Whether the port can be listened on, asked before anything starts: the web server would tell only at the end."""

from __future__ import annotations

import errno
import socket
import sys

from devhost.errors import ConfigurationError


def check_port(address: str, port: int) -> None:
    """Raises:
    ConfigurationError: the port is taken or reserved, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        if sys.platform != "win32":
            # Else connections of a host that has just ended would make its port look taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ConfigurationError(_problem(address, port, error)) from error


def _problem(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--address: {address} is not an address of this machine."
    if error.errno == errno.EACCES:
        return f"Port {port} needs administrator rights. Specify another port using --port [-p]."
    return f"Port {port} is unavailable. Close the process using that port, or specify another port using --port [-p]."
