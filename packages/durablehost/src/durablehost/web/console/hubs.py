"""The task hubs that one console can show: its own, and those of the accounts that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from durablehost.engine.client import OrchestrationClient
from durablehost.types import JsonValue

# What a reader of the page can do, by whether this console shows other hubs too.
_HINTS = {
    True: "Load /console to see this hub, and choose others under 'Other hubs'.",
    False: "Load /console to see this hub; `durablehost console` shows others.",
}


@dataclass(frozen=True, kw_only=True)
class Account:
    """A storage account by the name of its setting. `problem`: why its hubs cannot be listed."""

    connection_name: str
    hubs: Sequence[str] = ()
    problem: str | None = None


class HubNames(NamedTuple):
    """A task hub and the setting of its storage connection, as an address names them; None: it does not."""

    hub: str | None
    connection: str | None

    def problem_of(self, asked: HubNames, *, switches: bool) -> str | None:
        """Why this hub does not serve a page that asks for another one, and what to do; None if it does.

        `switches`: whether the console of this process shows other hubs too.
        """
        pairs = zip(self, asked, strict=True)
        if all(theirs is None or theirs.lower() == (own or "").lower() for own, theirs in pairs):
            return None
        if asked.hub is None:
            return (
                f"The address names the storage connection '{asked.connection}' without a task hub. {_HINTS[switches]}"
            )
        if asked.connection is None and switches:
            return (
                f"The address names the task hub '{asked.hub}' without its storage connection. Add '&connection=' and "
                f"the setting that contains it, such as '{self.connection}'. {_HINTS[True]}"
            )
        return f"This is the console of {self} now, and the page shows {asked}. {_HINTS[switches]}"

    def __str__(self) -> str:
        return f"the task hub '{self.hub}'" + (f" in '{self.connection}'" if self.connection else "")


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
