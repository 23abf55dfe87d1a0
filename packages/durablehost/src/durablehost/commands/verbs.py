"""Runs the verbs: each is one operation of the client on the task hub, with its result on stdout.

Mirrors DurableManager of Core Tools; but results are JSON on stdout, unless they are made for people, and notes are on
stderr.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from durablehost import lenient_json
from durablehost.clock import SystemClock
from durablehost.commands.arguments import DurableCommand
from durablehost.commands.hub import client_of, functions_of, receiving_nothing
from durablehost.commands.watch import open_view, watch
from durablehost.commands.watching import Watcher
from durablehost.console import Console, configure_logging
from durablehost.core.history_json import event_to_json
from durablehost.core.json_text import compact
from durablehost.core.payload import wrap_child_input
from durablehost.emulator.local_storage import usable_storage
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstanceQuery, InstanceRecord
from durablehost.errors import ConfigurationError, DurableHostError, RequestError
from durablehost.printable import printable
from durablehost.settings import Settings
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.deletion import delete_task_hub
from durablehost.storage.hub.task_hub import AzureStorageTaskHub, open_task_hub
from durablehost.types import JsonValue
from durablehost.web.paging import read_page, token_from_header, token_to_header
from durablehost.web.status_view import status_json


def run_verb(command: DurableCommand, settings: Settings, console: Console) -> bool:
    """Runs a verb and prints its result; notes go to `console`. Returns whether it has succeeded.

    Raises:
        DurableHostError: it was refused, the storage cannot be used, or the result cannot be written.
    """
    configure_logging(console, settings.log)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # No result must be lost over a letter that the terminal lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    if command.verb == "watch":
        return asyncio.run(_watch(command, settings, console))
    result = asyncio.run(_run(command, settings, console))
    text = result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)
    try:
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()
    except OSError as error:
        raise DurableHostError(f"The result could not be written to stdout: {error.strerror}.") from error
    return True


async def _run(command: DurableCommand, settings: Settings, console: Console) -> JsonValue:
    async with usable_storage(settings, console) as usable:
        options = receiving_nothing(usable)
        if command.verb == "delete-task-hub":
            return await _delete(options)
        async with open_task_hub(options, SystemClock()) as hub:
            return await Verbs(command, hub, _client(command, hub, usable), console)()


async def _watch(command: DurableCommand, settings: Settings, console: Console) -> bool:
    async with (
        usable_storage(settings, console) as usable,
        open_task_hub(receiving_nothing(usable), SystemClock()) as hub,
    ):
        watcher = Watcher(
            _client(command, hub, usable), instance_id=command.id, query=_query(command), most=command.top
        )
        with open_view(sys.stdout, as_json=command.as_json) as view:
            return await watch(watcher, view, console, until_end=command.id is not None)


def _client(command: DurableCommand, hub: AzureStorageTaskHub, settings: Settings) -> OrchestrationClient:
    needs_functions = command.verb in ("explain", "watch")
    return client_of(hub, settings, functions_of(settings) if command.is_own_hub and needs_functions else None)


def _query(command: DurableCommand) -> InstanceQuery:
    return InstanceQuery(
        created_from=command.created_after,
        created_to=command.created_before,
        statuses=frozenset(command.runtime_status),
    )


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
            "explain": self._explain,
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

    async def _get_instances(self) -> JsonValue:
        records, token = await read_page(
            lambda size, token: self._client.list(_query(self._command), page_size=size, continuation_token=token),
            self._command.top,
            token_from_header(self._command.continuation_token),
        )
        if token:
            self._console.line(f"Continuation token for next set of results: '{token_to_header(token)}'")
        return [await _shown(record) for record in records]

    async def _get_runtime_status(self) -> JsonValue:
        record = await self._known()
        kept = record if self._command.show_output else replace(record, output=None)
        return await _shown(kept, with_input=self._command.show_input)

    async def _get_history(self) -> JsonValue:
        await self._known()
        return [{**event_to_json(each), "EventType": each.type_name} for each in await self._client.history(self._id)]

    async def _explain(self) -> JsonValue:
        """The sentences, or JSON with the kinds of the reasons."""
        explanation = await self._client.explain(self._id)
        if explanation is None:
            raise _unknown(self._id)
        if not self._command.as_json:
            return explanation.text
        reasons: JsonValue = [{"kind": each.kind, "text": each.text} for each in explanation.reasons]
        return {"instanceId": self._id, "explanation": explanation.text, "reasons": reasons}

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
            return {"instancesDeleted": await self._client.purge_matching(_query(self._command))}
        await self._known()
        return {"instancesDeleted": int(await self._client.purge(self._id))}

    async def _known(self) -> InstanceRecord:
        record = await self._client.get(self._id)
        if record is None:
            raise _unknown(self._id)
        return record

    async def _status(self, instance_id: str) -> JsonValue:
        record = await self._client.get(instance_id)
        return {"instanceId": instance_id, "runtimeStatus": record.runtime_status.value if record else None}


def _unknown(instance_id: str) -> RequestError:
    return RequestError(404, f"No instance with ID '{instance_id}' was found.")


async def _shown(record: InstanceRecord, *, with_input: bool = True) -> JsonValue:
    shown: JsonValue = json.loads(await status_json(record, with_input=with_input))
    return shown


def payload_text(payload: str | None) -> str | None:
    """An input or an event's data as JSON text: text that is not JSON becomes a string, a file must contain JSON.

    Raises:
        ConfigurationError: there is no such file, or it is not JSON.
    """
    if payload is None:
        return None
    if not payload.startswith("@"):
        try:
            return compact(json.loads(payload))
        except (ValueError, RecursionError):
            return compact(payload)
    try:
        return compact(lenient_json.read(Path(payload[1:])))
    except OSError as error:
        raise ConfigurationError(f"{payload[1:]}: the file cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"{payload[1:]}: the file is not JSON: {error}.") from error
