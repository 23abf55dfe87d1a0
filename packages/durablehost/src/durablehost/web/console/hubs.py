"""The task hubs that one console can show: its own, and those of the accounts that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from durablehost.engine.client import OrchestrationClient
from durablehost.types import JsonValue


@dataclass(frozen=True, kw_only=True)
class Account:
    """A storage account by the name of its setting. `problem`: why its hubs cannot be listed."""

    connection_name: str
    hubs: Sequence[str] = ()
    problem: str | None = None


class Hubs(Protocol):
    """Finds task hubs, and opens them for reading."""

    async def accounts(self) -> Sequence[Account]:
        """Every account with its hubs. Costs requests to each of them."""
        ...

    async def open(self, connection_name: str, hub_name: str) -> OrchestrationClient | None:
        """A client of a hub, which is usable as long as this object; None if there is no such hub.

        Raises:
            StorageError: the account does not answer, or refuses.
        """
        ...


def show_accounts(accounts: Sequence[Account]) -> JsonValue:
    return [
        {"connection": account.connection_name, "hubs": [*account.hubs], "problem": account.problem}
        for account in accounts
    ]
