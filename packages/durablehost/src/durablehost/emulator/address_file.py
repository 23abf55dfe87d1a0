"""The account key and the ports of an app's own Azurite: `.local/azurite.json` below the script root.

Both stay the same from start to start, so that a connection string in another tool goes on working. The data do not
depend on the key: if the file is removed, the next start makes a new key, and finds the old data.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from durablehost.emulator.azurite import Ports, new_key, steady_ports
from durablehost.errors import ConfigurationError
from durablehost.keys.private_file import read_private, write_private

FILE_NAME = "azurite.json"
_LARGEST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an app's own Azurite listens, and the key of its account."""

    key: str = field(repr=False)
    ports: Ports

    @property
    def connection_string(self) -> str:
        return self.ports.connection_string_with(self.key)


def load_address(local_folder: Path, warnings: list[str]) -> Address:
    """The address in the file; a new one, which is stored, if there is no file.

    Raises:
        ConfigurationError: the file cannot be read, written, or trusted.
    """
    file = local_folder / FILE_NAME
    try:
        text = read_private(file, warnings)
        if text is not None:
            return _parsed(text)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError):
        # Without its cause, which may quote the key.
        raise ConfigurationError(
            f"{file} is not valid: remove it, and durablehost makes a new key for its Azurite; the data stay."
        ) from None
    return _stored(local_folder, Address(key=new_key(), ports=steady_ports()))


def move_address(local_folder: Path, address: Address) -> Address:
    """The address with other ports, which are stored: a program has taken the old ones."""
    return _stored(local_folder, replace(address, ports=steady_ports()))


def _parsed(text: str) -> Address:
    document = json.loads(text)
    key, ports = document["key"], Ports(**document["ports"])
    if not isinstance(key, str) or not key or not all(_is_port(each) for each in asdict(ports).values()):
        raise ValueError("not an address")
    return Address(key=key, ports=ports)


def _is_port(value: object) -> bool:
    return isinstance(value, int) and 1 <= value <= _LARGEST_PORT


def _stored(local_folder: Path, address: Address) -> Address:
    file = local_folder / FILE_NAME
    try:
        write_private(file, json.dumps({"key": address.key, "ports": asdict(address.ports)}, indent=2) + "\n")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}.") from error
    return address
