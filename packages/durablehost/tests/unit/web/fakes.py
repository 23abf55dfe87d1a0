"""Stand-ins for user code and durable storage in the tests of the web server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

from durablehost.app.invocation import HttpRequest, HttpResponse, Invocation, InvocationResult
from durablehost.app.model import Binding, Direction, Function, FunctionApp, FunctionError, HttpTrigger
from durablehost.core.history import ExecutionStarted, ExecutionTerminated, HistoryEvent
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import (
    Executor,
    InstancePage,
    InstanceQuery,
    InstanceRecord,
    QueueView,
    Surroundings,
    TaskHub,
)
from durablehost.errors import InstanceExists, RequestError
from durablehost.settings.model import HttpSettings
from durablehost.web.admin import HostStatus

BEGIN = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=timezone.utc)


class FixedClock:
    def now(self) -> datetime:
        return BEGIN


def make_function(
    name: str,
    trigger_type: str = "httpTrigger",
    *,
    route: str = "",
    methods: tuple[str, ...] | None = None,
    is_disabled: bool = False,
    auth_level: str = "function",
) -> Function:
    trigger = Binding(name="req", type=trigger_type, direction=Direction.IN, properties={"type": trigger_type})
    is_http = trigger_type == "httpTrigger"
    return Function(
        name=name,
        folder=Path("app") / name,
        script_file=Path("app") / name / "__init__.py",
        entry_point="main",
        bindings=(trigger,),
        config={"bindings": [{"type": trigger_type, "name": "req", "direction": "in"}]},
        registered_name=name,
        http=HttpTrigger(route=route, methods=methods, auth_level=auth_level) if is_http else None,
        is_disabled=is_disabled,
    )


def make_app(*functions: Function, errors: tuple[FunctionError, ...] = ()) -> FunctionApp:
    ordered = tuple(sorted(functions, key=lambda function: function.name.lower()))
    return FunctionApp(root=Path("app"), functions=ordered, errors=errors)


def make_settings(**changes: Any) -> HttpSettings:
    settings = HttpSettings(
        port=0,
        address="127.0.0.1",
        route_prefix="api",
        cors_origins=(),
        cors_credentials=False,
        allowed_hosts=(),
        custom_headers={},
        body_limit_bytes=100 * 1024 * 1024,
        is_homepage_disabled=False,
    )
    return replace(settings, **changes)


def host_status() -> HostStatus:
    return HostStatus(host_id="testhost-1", state="Running", version="4.0.0", uptime_seconds=1.5)


def responds(body: bytes = b"", status: int = 200, **headers: str) -> InvocationResult:
    return InvocationResult(response=HttpResponse(status=status, headers=headers, body=body))


class ScriptedExecutor:
    """Answers each call by function name, with a result, an error to raise, or a coroutine function to await."""

    def __init__(self) -> None:
        self.calls: list[Invocation] = []
        self.answers: dict[str, InvocationResult | Exception | Callable[[], Awaitable[InvocationResult]]] = {}

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.calls.append(invocation)
        answer = self.answers.get(invocation.function_name, InvocationResult())
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, InvocationResult) else await answer()

    @property
    def port(self) -> Executor:
        return self

    @property
    def last_request(self) -> HttpRequest:
        value = self.calls[-1].inputs["req"]
        assert isinstance(value, HttpRequest)
        return value


class FakeHub:
    """The part of a task hub that clients use, in a dictionary."""

    def __init__(self) -> None:
        self.records: dict[str, InstanceRecord] = {}
        self.histories: dict[str, tuple[HistoryEvent, ...]] = {}
        self.sent: list[TaskMessage] = []
        self.rewound: list[tuple[str, str]] = []
        self.page_limit = 1000
        self.failure: Exception | None = None
        self.history_failure: Exception | None = None

    @property
    def port(self) -> TaskHub:
        return cast(TaskHub, self)

    def add(self, instance_id: str, status: RuntimeStatus = RuntimeStatus.RUNNING, **changes: Any) -> InstanceRecord:
        record = InstanceRecord(
            instance_id=instance_id,
            execution_id="e1",
            name="Orch",
            version="",
            runtime_status=status,
            created_at=BEGIN,
            last_updated_at=BEGIN + timedelta(seconds=2),
        )
        self.records[instance_id] = replace(record, **changes)
        return self.records[instance_id]

    async def start_instance(self, start: TaskMessage, *, overridable: frozenset[RuntimeStatus]) -> None:
        self._fail()
        instance_id = start.target.instance_id
        known = self.records.get(instance_id)
        if known is not None and known.runtime_status not in overridable:
            raise InstanceExists(instance_id, known.runtime_status.value)
        event = start.event
        assert isinstance(event, ExecutionStarted)
        self.add(instance_id, RuntimeStatus.PENDING, name=event.name, input=event.input, version=event.version)

    async def send(self, message: TaskMessage) -> None:
        self._fail()
        self.sent.append(message)
        if isinstance(message.event, ExecutionTerminated):
            record = self.records[message.target.instance_id]
            ended = replace(record, runtime_status=RuntimeStatus.TERMINATED, output=message.event.input)
            self.records[record.instance_id] = ended

    async def get_instance(self, instance_id: str) -> InstanceRecord | None:
        self._fail()
        return self.records.get(instance_id)

    async def peek_instance(self, instance_id: str) -> InstanceRecord | None:
        return await self.get_instance(instance_id)

    async def list_instances(
        self,
        query: InstanceQuery,
        *,
        page_size: int,
        continuation_token: str | None = None,
        with_input: bool = True,
        with_payloads: bool = True,
    ) -> InstancePage:
        self._fail()
        keys = sorted(self.records)
        assert page_size <= 1000, "a table refuses to give more at once"
        if continuation_token is not None and continuation_token.removesuffix(" ") not in keys:
            raise RequestError(400, "The continuation token is not valid.")
        begin = keys.index(continuation_token.removesuffix(" ")) if continuation_token else 0
        end = begin + min(page_size, self.page_limit)
        page = (self.records[key] for key in keys[begin:end])
        return InstancePage(
            records=tuple(record for record in page if _matches(record, query)),
            continuation_token=f"{keys[end]} " if end < len(keys) else None,
        )

    async def read_history(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        if self.history_failure is not None:
            raise self.history_failure
        return self.histories.get(instance_id, ())

    async def look_around(self, instance_id: str) -> Surroundings:
        return Surroundings(
            control=QueueView(name="control"),
            work_items=QueueView(name="workitems"),
            control_visibility_seconds=30,
        )

    async def rewind_instance(self, instance_id: str, reason: str) -> None:
        self._fail()
        self.rewound.append((instance_id, reason))

    async def finish_rewind(self, instance_id: str, reason: str) -> bool:
        return False

    async def purge_instance(self, instance_id: str) -> bool:
        return self.records.pop(instance_id, None) is not None

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def _matches(record: InstanceRecord, query: InstanceQuery) -> bool:
    return (
        (query.created_from is None or record.created_at >= query.created_from)
        and (query.created_to is None or record.created_at <= query.created_to)
        and (query.updated_from is None or record.last_updated_at >= query.updated_from)
        and (not query.name or record.name == query.name)
        and (not query.statuses or record.runtime_status in query.statuses)
        and record.instance_id.startswith(query.id_prefix or "")
    )
