"""The URLs of the management API: in the 202 answers, and in the JSON that user code gets from a durable client.

Mirrors HttpApiHandler.GetClientPayload and BindingHelper of the Durable Functions extension. If the host checks
keys, every URL contains the key that it needs, as `code`.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from durablehost.app.model import Binding
from durablehost.core.json_text import compact
from durablehost.types import JsonValue

WEBHOOK_PATH = "/runtime/webhooks/durabletask"
RPC_PATH = "/durabletask/"
PLACEHOLDER_ID = "INSTANCEID"

# In the order of the answers. The payload of the extension's own answers has no `rewindPostUri`.
_SUFFIXES = {
    "statusQueryGetUri": "?",
    "sendEventPostUri": "/raiseEvent/{eventName}?",
    "terminatePostUri": "/terminate?reason={text}&",
    "rewindPostUri": "/rewind?reason={text}&",
    "purgeHistoryDeleteUri": "?",
    "restartPostUri": "/restart?",
    "suspendPostUri": "/suspend?reason={text}&",
    "resumePostUri": "/resume?reason={text}&",
}


class Links:
    """Builds the links of one host. The web server sets the origins by `listens_at`, when it knows its ports.

    `find_system_key` returns the current key of the management API; None: no keys are checked.
    """

    def __init__(
        self,
        *,
        hub_name: str,
        connection_name: str = "Storage",
        find_system_key: Callable[[], str] | None = None,
    ) -> None:
        self.hub_name = hub_name
        self.connection_name = connection_name
        self.origin = "http://localhost:7071"
        self.rpc_base_url: str | None = None
        self._find_system_key = find_system_key

    @property
    def _required_query(self) -> str:
        # The `=` that pads a key needs no escape in a query.
        return "" if self._find_system_key is None else f"code={quote(self._find_system_key(), safe='=')}"

    def listens_at(self, *, origin: str, rpc_base_url: str) -> None:
        self.origin = origin
        self.rpc_base_url = rpc_base_url

    def start_payload(self, instance_id: str, *, origin: str) -> dict[str, JsonValue]:
        """The body of a 202 to a start."""
        urls = self._management_urls(quote(instance_id, safe=""), origin, self.hub_name, self.connection_name)
        del urls["rewindPostUri"]
        return {"id": instance_id, **urls}

    def client_input(self, binding: Binding) -> str:
        """The value of a durableClient binding, as JSON text."""
        hub = _text(binding.property("taskHub")) or self.hub_name
        connection = _text(binding.property("connectionName")) or self.connection_name
        base = f"{self.origin}{WEBHOOK_PATH}"
        document: dict[str, JsonValue] = {
            "taskHubName": hub,
            "connectionName": None,
            "creationUrls": _creation_urls(base, self._required_query),
            "managementUrls": {
                "id": PLACEHOLDER_ID,
                **self._management_urls(PLACEHOLDER_ID, self.origin, hub, connection),
            },
            "baseUrl": base,
            "requiredQueryStringParameters": self._required_query,
            "rpcBaseUrl": self.rpc_base_url,
            "httpBaseUrl": None,
        }
        return compact(document)

    def _management_urls(self, instance_id: str, origin: str, hub: str, connection: str) -> dict[str, JsonValue]:
        base = f"{origin}{WEBHOOK_PATH}/instances/{instance_id}"
        query = f"taskHub={quote(hub, safe='')}&connection={quote(connection, safe='')}"
        query = _joined(query, self._required_query)
        return {key: f"{base}{suffix}{query}" for key, suffix in _SUFFIXES.items()}


def _creation_urls(base: str, required_query: str) -> dict[str, JsonValue]:
    start = f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]"
    waiting = _joined("timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}", required_query)
    return {
        "createNewInstancePostUri": f"{start}?{required_query}" if required_query else start,
        "createAndWaitOnNewInstancePostUri": f"{start}?{waiting}",
    }


def _joined(*queries: str) -> str:
    return "&".join(query for query in queries if query)


def _text(value: JsonValue) -> str:
    return value.strip() if isinstance(value, str) else ""
