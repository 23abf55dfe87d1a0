"""What each verb does: one operation of the client on the storage of the hub, and its answer as JSON.

Mirrors DurableManager of Core Tools; answers are JSON throughout, and are told apart from notes by their stream.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from devhost.clock import SystemClock
from devhost.console import Console
from devhost.core.history_json import event_to_json
from devhost.core.json_text import compact
from devhost.core.payload import wrap_child_input
from devhost.durable.arguments import DurableCommand
from devhost.engine.client import OrchestrationClient
from devhost.engine.ports import InstanceQuery, InstanceRecord
from devhost.errors import ConfigurationError, RequestError
from devhost.hub_options import hub_options
from devhost.local_storage import ensure_storage
from devhost.settings import Settings
from devhost.storage.deletion import delete_task_hub
from devhost.storage.options import StorageOptions
from devhost.storage.task_hub import AzureStorageTaskHub, open_task_hub
from devhost.types import JsonValue
from devhost.web.page_token import token_from_header, token_to_header
from devhost.web.status_view import status_json

_LARGEST_PAGE = 1000  # a table answers no query for more


def run_verb(command: DurableCommand, settings: Settings, console: Console) -> None:
    """Carries a verb out and prints its answer; notes go to `console`.

    Raises:
        DevHostError: it was refused, or the storage cannot be used.
    """
    answer = asyncio.run(_run(command, settings, console))
    sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")


async def _run(command: DurableCommand, settings: Settings, console: Console) -> JsonValue:
    options = hub_options(settings)
    with ExitStack() as stack:
        azurite = await ensure_storage(
            options, script_root=settings.script_root, starts_azurite=settings.starts_azurite, console=console
        )
        if azurite is not None:
            stack.callback(azurite.stop)
        if command.verb == "delete-task-hub":
            return await _delete(options)
        async with open_task_hub(options, SystemClock()) as hub:
            client = OrchestrationClient(hub, None, SystemClock(), overridable=settings.durable.overridable_states)
            return await Verbs(command, hub, client, console)()


async def _delete(options: StorageOptions) -> JsonValue:
    deleted = await delete_task_hub(options)
    return {"taskHub": options.hub_name, "deleted": {kind: list(names) for kind, names in deleted.items()}}


class Verbs:
    """The verbs on one hub, for one command."""

    def __init__(
        self, command: DurableCommand, hub: AzureStorageTaskHub, client: OrchestrationClient, console: Console
    ) -> None:
        self._command = command
        self._hub = hub
        self._client = client
        self._console = console

    async def __call__(self) -> JsonValue:
        verbs: Mapping[str, Callable[[], Awaitable[JsonValue]]] = {
            "get-instances": self._get_instances,
            "get-runtime-status": self._get_runtime_status,
            "get-history": self._get_history,
            "start-new": self._start_new,
            "raise-event": self._raise_event,
            "terminate": self._terminate,
            "rewind": self._rewind,
            "purge-history": self._purge_history,
        }
        return await verbs[self._command.verb]()

    @property
    def _id(self) -> str:
        return self._command.id or ""

    @property
    def _query(self) -> InstanceQuery:
        command = self._command
        return InstanceQuery(
            created_from=command.created_after,
            created_to=command.created_before,
            statuses=frozenset(command.runtime_status),
        )

    async def _get_instances(self) -> JsonValue:
        token = token_from_header(self._command.continuation_token)
        records: list[InstanceRecord] = []
        while len(records) < self._command.top:
            size = min(self._command.top - len(records), _LARGEST_PAGE)
            page = await self._client.list(self._query, page_size=size, continuation_token=token)
            records.extend(page.records)
            token = page.continuation_token
            if token is None:
                break
        self._console.line(f"Continuation token for next set of results: '{token_to_header(token)}'")
        return [await _shown(record) for record in records]

    async def _get_runtime_status(self) -> JsonValue:
        record = await self._known()
        kept = record if self._command.show_output else replace(record, output=None)
        return await _shown(kept, with_input=self._command.show_input)

    async def _get_history(self) -> JsonValue:
        await self._known()
        return [{**event_to_json(each), "EventType": each.type_name} for each in await self._client.history(self._id)]

    async def _start_new(self) -> JsonValue:
        await self._hub.create()
        instance_id = await self._client.start(
            self._command.function_name,
            instance_id=self._command.id,
            # As the SDK's client stores it: to Python an input is JSON text within a JSON string.
            input_text=wrap_child_input(payload_text(self._command.payload)),
            version=self._command.version,
        )
        return await self._status(instance_id)

    async def _raise_event(self) -> JsonValue:
        name = self._command.event_name
        await self._client.raise_event(self._id, name, payload_text(self._command.payload) or "null")
        return {"instanceId": self._id, "eventName": name}

    async def _terminate(self) -> JsonValue:
        await self._client.terminate(self._id, self._command.reason)
        return await self._status(self._id)

    async def _rewind(self) -> JsonValue:
        await self._client.rewind(self._id, self._command.reason)
        return await self._status(self._id)

    async def _purge_history(self) -> JsonValue:
        if self._command.id is None:
            return {"instancesDeleted": await self._client.purge_matching(self._query)}
        await self._known()
        return {"instancesDeleted": int(await self._client.purge(self._id))}

    async def _known(self) -> InstanceRecord:
        record = await self._client.get(self._id)
        if record is None:
            raise RequestError(404, f"No instance with ID '{self._id}' was found.")
        return record

    async def _status(self, instance_id: str) -> JsonValue:
        record = await self._client.get(instance_id)
        return {"instanceId": instance_id, "runtimeStatus": record.runtime_status.value if record else None}


async def _shown(record: InstanceRecord, *, with_input: bool = True) -> JsonValue:
    shown: JsonValue = json.loads(await status_json(record, with_input=with_input))
    return shown


def payload_text(payload: str | None) -> str | None:
    """An input or an event's data as JSON text: what is not JSON is a string; a file has to hold JSON.

    Raises:
        ConfigurationError: there is no such file, or it does not hold JSON.
    """
    if payload is None:
        return None
    if not payload.startswith("@"):
        try:
            return compact(json.loads(payload))
        except (ValueError, RecursionError):
            return compact(payload)
    try:
        return compact(json.loads(Path(payload[1:]).read_text("utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{payload[1:]}: the file cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{payload[1:]}: the file does not hold JSON: {error}") from error
