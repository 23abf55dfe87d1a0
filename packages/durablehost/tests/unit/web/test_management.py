"""The management API over HTTP: statuses, headers, bodies and their order."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import timedelta
from typing import Any

import pytest

from durablehost.core.history import EventRaised, ExecutionResumed, ExecutionSuspended, ExecutionTerminated
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstanceRecord
from durablehost.errors import PayloadTooLarge, RequestError, StorageRefused, StorageUnavailable, UnreadableState
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import BEGIN

QUERY = "taskHub=TestHub&connection=Storage"
JSON_TYPE = "application/json; charset=utf-8"


async def answer_of(edge: Edge, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with edge.manage(method, path, **options) as answer:
        body = await answer.read()
        return answer.status, json.loads(body) if body else None


async def test_a_start_answers_202_with_the_urls_in_the_order_of_the_extension(edge: Edge) -> None:
    async with edge.manage("POST", "/orchestrators/Orch/a%20b", data="{}") as answer:
        body = await answer.json()

        base = f"{edge.webhook}/instances/a%20b"
        assert answer.status == 202
        assert answer.headers["Content-Type"] == JSON_TYPE
        assert answer.headers["Location"] == body["statusQueryGetUri"] == f"{base}?{QUERY}"
        assert answer.headers["Retry-After"] == "10"
        assert list(body.items()) == [
            ("id", "a b"),
            ("statusQueryGetUri", f"{base}?{QUERY}"),
            ("sendEventPostUri", f"{base}/raiseEvent/{{eventName}}?{QUERY}"),
            ("terminatePostUri", f"{base}/terminate?reason={{text}}&{QUERY}"),
            ("purgeHistoryDeleteUri", f"{base}?{QUERY}"),
            ("restartPostUri", f"{base}/restart?{QUERY}"),
            ("suspendPostUri", f"{base}/suspend?reason={{text}}&{QUERY}"),
            ("resumePostUri", f"{base}/resume?reason={{text}}&{QUERY}"),
        ]
    assert (await answer_of(edge, "GET", "/instances/a%20b"))[0] == 202


async def test_a_start_through_the_rpc_base_links_to_the_public_origin(edge: Edge) -> None:
    async with edge.session.post(f"{edge.server.rpc_base_url}orchestrators/Orch/x") as answer:
        location = answer.headers["Location"]

    assert location == f"http://localhost:{edge.server.port}/runtime/webhooks/durabletask/instances/x?{QUERY}"


async def test_links_have_the_origin_that_the_caller_used(serve: EdgeFactory) -> None:
    edge = await serve(allowed_hosts=("*",))
    async with edge.manage("POST", "/orchestrators/Orch/x", headers={"Host": "devbox:9000"}) as answer:
        assert answer.headers["Location"].startswith("http://devbox:9000/runtime/")
    edge.hub.records.clear()
    async with edge.manage("POST", "/orchestrators/Orch/x", headers={"Host": ""}) as answer:
        assert answer.headers["Location"].startswith(f"http://localhost:{edge.server.port}/runtime/")


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        (b"", None),
        (b"  \n", None),
        (b"null", "null"),
        (b'{"a": 1, "b": [1, 2.50, null]}', '{"a": 1, "b": [1, 2.50, null]}'),
        (b'"{\\"a\\": 1}"', '"{\\"a\\": 1}"'),
        (b'{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        (b" [1]\n", " [1]\n"),
        ("\ufeff[1]".encode(), "[1]"),
        ('{"name":"Zoë 🚀"}'.encode(), '{"name":"Zoë 🚀"}'),
        (b'"\\ud800"', '"\\ud800"'),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
async def test_the_input_is_the_json_of_the_body_as_it_was_sent(edge: Edge, body: bytes, stored: str | None) -> None:
    status, _ = await answer_of(edge, "POST", "/orchestrators/Orch/x", data=body)

    assert (status, edge.hub.records["x"].input) == (202, stored)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nope", b"NaN", b'{"a": Infinity}', b"1e999", b"\xff\xfe\xfd", b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000, b"9" * 5000, b'{"a":1} trailing', b"'x'", b"\x00",
    ],
)  # fmt: skip
async def test_a_body_that_is_not_json_is_refused_and_starts_nothing(edge: Edge, body: bytes) -> None:
    status, answer = await answer_of(edge, "POST", "/orchestrators/Orch/x", data=body)

    assert (status, answer["Message"]) == (400, "Invalid JSON content")
    assert list(answer) == ["Message", "ExceptionMessage", "ExceptionType", "StackTrace"]
    assert answer["StackTrace"] is None
    assert edge.hub.records == {}


async def test_the_content_type_of_a_start_is_ignored(edge: Edge) -> None:
    options = {"data": b"{}", "headers": {"Content-Type": "text/plain"}}

    assert (await answer_of(edge, "POST", "/orchestrators/Orch/x", **options))[0] == 202


async def test_an_unknown_orchestrator_is_400_with_both_messages(edge: Edge) -> None:
    status, answer = await answer_of(edge, "POST", "/orchestrators/Nope")

    assert status == 400
    assert answer["Message"] == "One or more of the arguments submitted is incorrect"
    assert answer["ExceptionMessage"] == (
        "The function 'Nope' doesn't exist, is disabled, or is not an orchestrator function. Additional info: "
        "The following are the known orchestrator functions: 'Orch'."
    )


async def test_a_running_id_is_409_with_both_messages(edge: Edge) -> None:
    edge.hub.add("x")

    status, answer = await answer_of(edge, "POST", "/orchestrators/Orch/x")

    assert status == 409
    assert answer["Message"] == answer["ExceptionMessage"]
    assert answer["Message"] == "An Orchestration instance with the status Running already exists."


async def test_a_finished_instance_is_replaced_by_a_start(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED, output="1")

    assert (await answer_of(edge, "POST", "/orchestrators/Orch/x"))[0] == 202
    assert edge.hub.records["x"].runtime_status is RuntimeStatus.PENDING


async def start_and_finish(edge: Edge, query: str, status: RuntimeStatus) -> tuple[int, Any]:
    """Starts in wait mode; the instance ends as soon as it exists."""
    call = asyncio.create_task(answer_of(edge, "POST", f"/orchestrators/Orch/x?{query}"))
    await eventually(lambda: "x" in edge.hub.records)
    edge.hub.add("x", status, output='{"sum":3}')
    return await call


async def test_wait_mode_answers_with_the_output_of_a_completed_instance(edge: Edge) -> None:
    waited = await start_and_finish(edge, "timeout=9&pollingInterval=0.01", RuntimeStatus.COMPLETED)

    assert waited == (200, {"sum": 3})


async def test_wait_mode_answers_with_the_status_of_a_failed_instance(edge: Edge) -> None:
    status, body = await start_and_finish(edge, "TIMEOUT=9&pollinginterval=0.01", RuntimeStatus.FAILED)

    assert (status, body["runtimeStatus"], body["instanceId"]) == (200, "Failed", "x")


@pytest.mark.parametrize(
    ("query", "shown", "has_history"),
    [("", 1, False), ("&showInput=false", None, False), ("&showHistory=true", 1, True)],
)
async def test_wait_mode_shows_of_a_failed_instance_what_the_query_asks_for(
    edge: Edge, query: str, shown: object, has_history: bool
) -> None:
    call = asyncio.create_task(
        answer_of(edge, "POST", f"/orchestrators/Orch/x?timeout=9&pollingInterval=0.01{query}", data="1")
    )
    await eventually(lambda: "x" in edge.hub.records)
    edge.hub.add("x", RuntimeStatus.FAILED, input="1")

    status, body = await call

    assert (status, body["input"], "historyEvents" in body) == (200, shown, has_history)


async def test_wait_mode_answers_202_when_the_time_is_over(edge: Edge) -> None:
    status, body = await answer_of(edge, "POST", "/orchestrators/Orch/x?timeout=0.05&pollingInterval=0.01")

    assert (status, body["id"]) == (202, "x")


@pytest.mark.parametrize(
    "query", ["timeout=60", "pollingInterval=1", "timeout=-1&pollingInterval=-2", "timeout=nan&pollingInterval=1"]
)
async def test_wait_mode_needs_both_times(edge: Edge, query: str) -> None:
    answer = answer_of(edge, "POST", f"/orchestrators/Orch/x?{query}")
    # The answer comes at once, not after a minute.
    assert (await asyncio.wait_for(answer, WAIT_SECONDS))[0] == 202


async def test_wait_mode_with_an_interval_above_the_timeout_is_400_and_the_instance_runs(edge: Edge) -> None:
    status, answer = await answer_of(edge, "POST", "/orchestrators/Orch/x?timeout=1&pollingInterval=2")

    assert status == 400
    assert answer["Message"] == "Total timeout 1 should be bigger than retry timeout 2"
    assert "x" in edge.hub.records


async def test_wait_mode_does_not_delay_the_shutdown_of_the_host(edge: Edge) -> None:
    call = asyncio.create_task(answer_of(edge, "POST", "/orchestrators/Orch/x?timeout=600&pollingInterval=600"))
    await eventually(lambda: "x" in edge.hub.records)

    await edge.server.drain(5)

    assert (await call)[0] == 202


async def test_a_status_has_its_members_in_order_and_its_times_in_seconds(edge: Edge) -> None:
    edge.hub.add("x", input='{"a":1}', custom_status='"half"', output=None)

    assert list((await answer_of(edge, "GET", "/instances/x"))[1].items()) == [
        ("name", "Orch"),
        ("instanceId", "x"),
        ("runtimeStatus", "Running"),
        ("input", {"a": 1}),
        ("customStatus", "half"),
        ("output", None),
        ("createdTime", "2026-03-01T10:00:00Z"),
        ("lastUpdatedTime", "2026-03-01T10:00:02Z"),
    ]


async def test_a_child_shows_its_parent_and_an_instance_with_a_version_shows_it(edge: Edge) -> None:
    edge.hub.add("x", version="1.2", parent_id="caller")

    for path in ("/instances/x", "/instances"):
        answer = (await answer_of(edge, "GET", path))[1]
        shown = answer[0] if isinstance(answer, list) else answer
        assert list(shown)[:4] == ["name", "version", "instanceId", "parentInstanceId"]
        assert (shown["version"], shown["parentInstanceId"]) == ("1.2", "caller")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (RuntimeStatus.PENDING, 202),
        (RuntimeStatus.RUNNING, 202),
        (RuntimeStatus.CONTINUED_AS_NEW, 202),
        (RuntimeStatus.SUSPENDED, 202),
        (RuntimeStatus.COMPLETED, 200),
        (RuntimeStatus.TERMINATED, 200),
        (RuntimeStatus.CANCELED, 200),
        (RuntimeStatus.FAILED, 200),
    ],
)
async def test_the_http_status_shows_whether_an_instance_is_finished(
    edge: Edge, status: RuntimeStatus, code: int
) -> None:
    edge.hub.add("x", status)

    async with edge.manage("GET", "/instances/x?showInput=false") as answer:
        assert answer.status == code
        if code == 202:
            assert answer.headers["Location"] == f"{edge.webhook}/instances/x?showInput=false"
            assert answer.headers["Retry-After"] == "5"


async def test_a_failure_is_500_only_if_the_caller_asks_for_it(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.FAILED, output="boom")
    edge.hub.add("y", RuntimeStatus.TERMINATED)
    flag = "returnInternalServerErrorOnFailure=True"

    assert (await answer_of(edge, "GET", f"/instances/x?{flag}"))[0] == 500
    assert (await answer_of(edge, "GET", f"/instances/y?{flag}"))[0] == 200


@pytest.mark.parametrize(
    ("value", "shown"),
    [("False", None), ("false", None), ("true", 1), ("maybe", 1), ("", 1), ("false&showInput=true", 1)],
)
async def test_show_input_is_true_unless_it_is_false(edge: Edge, value: str, shown: Any) -> None:
    edge.hub.add("x", input="1")

    assert (await answer_of(edge, "GET", f"/instances/x?showinput={value}"))[1]["input"] == shown


async def test_a_pending_instance_shows_no_history(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.PENDING)
    edge.hub.add("y", RuntimeStatus.RUNNING)

    assert "historyEvents" not in (await answer_of(edge, "GET", "/instances/x?showHistory=true"))[1]
    assert (await answer_of(edge, "GET", "/instances/y?showHistory=true"))[1]["historyEvents"] == []


async def test_an_unknown_instance_is_404_without_a_body(edge: Edge) -> None:
    assert await answer_of(edge, "GET", "/instances/nowhere") == (404, None)
    assert await answer_of(edge, "DELETE", "/instances/nowhere") == (404, None)
    assert await answer_of(edge, "POST", "/instances/nowhere/terminate?reason=x") == (404, None)


async def test_a_listing_is_paged_by_a_token_both_ways(edge: Edge) -> None:
    for name in "abcdé":
        edge.hub.add(name)
    seen, token = [], ""
    while True:
        async with edge.manage("GET", "/instances?top=2", headers={"x-ms-continuation-token": token}) as answer:
            seen.append([item["instanceId"] for item in await answer.json()])
            token = answer.headers["x-ms-continuation-token"]
        if not token:
            break

    assert seen == [["a", "b"], ["c", "d"], ["é"]]


async def test_a_page_is_filled_across_the_short_pages_of_the_storage(edge: Edge) -> None:
    for name in "abcde":
        edge.hub.add(name)
    edge.hub.page_limit = 1

    async with edge.manage("GET", "/instances?top=3") as answer:
        assert [item["instanceId"] for item in await answer.json()] == ["a", "b", "c"]
        token = answer.headers["x-ms-continuation-token"]
    _, rest = await answer_of(edge, "GET", "/instances", headers={"x-ms-continuation-token": token})
    assert [item["instanceId"] for item in rest] == ["d", "e"]


async def test_a_page_of_none_is_empty_and_one_of_fewer_is_refused(edge: Edge) -> None:
    edge.hub.add("a")

    async with edge.manage("GET", "/instances?top=0") as answer:
        assert (await answer.json(), answer.headers["x-ms-continuation-token"]) == ([], "")
    status, refusal = await answer_of(edge, "GET", "/instances?top=-1")
    assert (status, refusal["ExceptionMessage"]) == (400, "'top' must not be negative: -1.")


async def test_an_unknown_continuation_token_is_400(edge: Edge) -> None:
    edge.hub.add("a")

    for token in ("zzz", "enp6", "Zoë", "not base64"):
        status, answer = await answer_of(edge, "GET", "/instances", headers={"x-ms-continuation-token": token})

        assert status == 400
        assert "continuation token" in answer["ExceptionMessage"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a1", "a2", "b"]),
        ("runtimeStatus=Running", ["a1"]),
        ("runtimeStatus=running,FAILED", ["a1", "b"]),
        ("runtimeStatus=Running&runtimeStatus=Failed", ["a1", "b"]),
        ("runtimeStatus=0", ["a1"]),
        ("runtimeStatus=0,3", ["a1", "b"]),
        ("runtimeStatus=Nonsense", ["a1", "a2", "b"]),
        ("instanceIdPrefix=a", ["a1", "a2"]),
        ("createdTimeFrom=2026-03-01T11:00:00Z", ["b"]),
        ("createdTimeFrom=2026-03-01T12:00:00%2B01:00", ["b"]),
        ("createdTimeFrom=2026-03-01T12:00:00+01:00", ["b"]),
        ("createdTimeTo=2026-03-01", []),
        ("createdTimeTo=2026/3/1", []),
        ("createdTimeTo=2026-03", []),
        ("createdTimeTo=03/01/2026", []),
        ("createdTimeTo=Sun,%2001%20Mar%202026%2000:00:00%20GMT", []),
        ("createdTimeTo=March%201,%202026", []),
        ("createdTimeFrom=2026-3-1T11:00:00Z", ["b"]),
        ("createdTimeFrom=2999-01-01&createdTimeFrom=2000-01-01", ["a1", "a2", "b"]),
        ("instanceIdPrefix=a&instanceIdPrefix=b", []),
        ("createdTimeTo=2026-03-01T10:30", ["a1", "a2"]),
        ("createdTimeFrom=yesterday&createdTimeTo=9999-99-99&top=x&top=-1", ["a1", "a2", "b"]),
        ("top=99999999999999999999", ["a1", "a2", "b"]),
        ("top=2000000000", ["a1", "a2", "b"]),
        ("top=1&top=2", ["a1", "a2", "b"]),
        ("taskHub=&connection=", ["a1", "a2", "b"]),
        ("taskHub=testhub&connection=Storage", ["a1", "a2", "b"]),
    ],
)
async def test_filters_apply_and_invalid_ones_are_ignored(edge: Edge, query: str, found: list[str]) -> None:
    edge.hub.add("a1")
    edge.hub.add("a2", RuntimeStatus.COMPLETED)
    edge.hub.add("b", RuntimeStatus.FAILED, created_at=BEGIN + timedelta(hours=2))

    status, items = await answer_of(edge, "GET", f"/instances/?{query}")

    assert (status, [item["instanceId"] for item in items]) == (200, found)


async def test_a_listing_shows_inputs_unless_show_input_is_false(edge: Edge) -> None:
    edge.hub.add("a", input="1")

    assert (await answer_of(edge, "GET", "/instances"))[1][0]["input"] == 1
    assert (await answer_of(edge, "GET", "/instances?showInput=false"))[1][0]["input"] is None


async def test_terminate_sends_the_reason_and_answers_202_without_a_body(edge: Edge) -> None:
    edge.hub.add("x")

    assert await answer_of(edge, "POST", "/instances/x/TERMINATE?Reason=no+more%20%26%20done") == (202, None)

    event = edge.hub.sent[0].event
    assert isinstance(event, ExecutionTerminated)
    assert event.input == "no more & done"
    assert await answer_of(edge, "POST", "/instances/x/terminate") == (410, None)


async def test_purge_of_a_running_instance_is_412_with_a_json_string(edge: Edge) -> None:
    edge.hub.add("x")

    status, body = await answer_of(edge, "DELETE", "/instances/x")

    assert (status, body) == (
        412,
        "Only orchestrations in a terminal state can be purged, but the orchestration with instance ID x has status "
        "Running",
    )


async def test_purge_by_filter_needs_a_time_to_begin_with(edge: Edge) -> None:
    for query in ("", "?createdTimeFrom=", "?createdTimeFrom=soon"):
        assert await answer_of(edge, "DELETE", f"/instances{query}") == (
            400,
            "Please provide value for 'createdTimeFrom' parameter.",
        )


async def test_purge_by_filter_returns_its_count_and_404_if_nothing_matches(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED)
    edge.hub.add("y", RuntimeStatus.FAILED)
    path = "/instances?createdTimeFrom=2026-01-01"

    assert await answer_of(edge, "DELETE", f"{path}&instanceIdPrefix=zzz") == (404, None)
    assert await answer_of(edge, "DELETE", f"{path}&runtimeStatus=Running") == (404, None)
    assert await answer_of(edge, "DELETE", f"{path}&runtimeStatus=Failed,Running") == (200, {"instancesDeleted": 1})
    assert await answer_of(edge, "DELETE", path) == (200, {"instancesDeleted": 1})
    assert await answer_of(edge, "DELETE", path) == (404, None)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("runtimeStatus=Complete", "The runtimeStatus 'Complete' is none of "),
        ("runtimeStatus=Failed,Complete", "The runtimeStatus 'Complete' is none of "),
        ("createdTimeTo=yesterday", "The createdTimeTo 'yesterday' is not a time"),
    ],
)
async def test_a_purge_by_a_condition_that_cannot_be_read_is_400_and_removes_nothing(
    edge: Edge, condition: str, told: str
) -> None:
    edge.hub.add("x", RuntimeStatus.FAILED)

    status, body = await answer_of(edge, "DELETE", f"/instances?createdTimeFrom=2026-01-01&{condition}")

    assert status == 400
    assert told in body["ExceptionMessage"]
    assert list(edge.hub.records) == ["x"]


JSON = {"Content-Type": "application/json"}


async def test_an_event_is_sent_with_its_data_and_answered_202(edge: Edge) -> None:
    edge.hub.add("x")

    path = "/instances/x/raiseEvent/Go%20on"
    assert await answer_of(edge, "POST", path, data='{"by": "kim"}', headers=JSON) == (202, None)
    (sent,) = edge.hub.sent
    assert isinstance(sent.event, EventRaised)
    assert (sent.event.name, sent.event.input) == ("Go on", '{"by":"kim"}')
    assert (sent.target.instance_id, sent.target.execution_id) == ("x", None)


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        ("1", {"Content-Type": "text/plain"}, 400, "Only application/json request content is supported"),
        ("", JSON, 400, "Invalid JSON content"),
        ("{", JSON, 400, "Invalid JSON content"),
    ],
)
async def test_an_event_that_is_not_json_is_400_and_not_sent(
    edge: Edge, body: str, headers: dict[str, str], status: int, message: str
) -> None:
    edge.hub.add("x")

    code, answer = await answer_of(edge, "POST", "/instances/x/raiseEvent/Go", data=body, headers=headers)
    assert (code, answer["Message"]) == (status, message)
    assert edge.hub.sent == []


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "'UTF-8'"])
async def test_a_body_is_read_in_the_charset_of_its_type(edge: Edge, charset: str) -> None:
    sent = {"data": '"é"'.encode(charset.strip("'")), "headers": {"Content-Type": f"text/plain; charset={charset}"}}
    assert (await answer_of(edge, "POST", "/orchestrators/Orch/x", **sent))[0] == 202
    assert edge.hub.records["x"].input == '"é"'


@pytest.mark.parametrize(("charset", "body"), [("nonsense", b"1"), ("utf-16", b"123"), ("utf-8", b'"\xe9"')])
async def test_a_body_that_is_not_in_its_charset_is_refused(edge: Edge, charset: str, body: bytes) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    for path in ("orchestrators/Orch/x", "entities/Counter/x?op=add"):
        status, answer = await answer_of(edge, "POST", f"/{path}", data=body, headers=headers)
        assert status == 400
        assert "charset" in json.dumps(answer)
    assert not edge.hub.records


async def test_the_charset_of_an_event_does_not_matter(edge: Edge) -> None:
    edge.hub.add("x")

    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await answer_of(edge, "POST", "/instances/x/raiseEvent/Go", data="1", headers=headers))[0] == 202


async def test_an_event_costs_one_read_of_the_record(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.hub.add("x")
    reads = []
    read = edge.hub.get_instance

    async def counted(instance_id: str) -> InstanceRecord | None:
        reads.append(instance_id)
        return await read(instance_id)

    monkeypatch.setattr(edge.hub, "get_instance", counted)
    assert await answer_of(edge, "POST", "/instances/x/raiseEvent/Go", data="1", headers=JSON) == (202, None)
    assert reads == ["x"]


@pytest.mark.parametrize("operation", ["raiseEvent/Go", "suspend", "resume"])
async def test_operations_on_running_instances_are_404_for_unknown_and_410_for_finished_ones(
    edge: Edge, operation: str
) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED)

    assert await answer_of(edge, "POST", f"/instances/nowhere/{operation}", data="1", headers=JSON) == (404, None)
    # The instance is checked before the content, as in the original.
    assert await answer_of(edge, "POST", f"/instances/x/{operation}", data="1") == (410, None)


async def test_suspend_and_resume_send_their_reason(edge: Edge) -> None:
    edge.hub.add("x")
    edge.hub.add("y", RuntimeStatus.SUSPENDED)

    assert await answer_of(edge, "POST", "/instances/x/suspend?reason=lunch") == (202, None)
    assert await answer_of(edge, "POST", "/instances/y/resume?reason=back") == (202, None)
    suspended, resumed = (message.event for message in edge.hub.sent)
    assert isinstance(suspended, ExecutionSuspended)
    assert isinstance(resumed, ExecutionResumed)
    assert (suspended.reason, resumed.reason) == ("lunch", "back")


@pytest.mark.parametrize(("query", "reason"), [("", None), ("?reason=", ""), ("?reason=%20", " ")])
async def test_no_reason_is_null_and_a_blank_one_stays_blank(edge: Edge, query: str, reason: str | None) -> None:
    edge.hub.add("x")
    edge.hub.add("y", RuntimeStatus.SUSPENDED)

    for path in ("x/suspend", "y/resume", "x/terminate"):
        assert await answer_of(edge, "POST", f"/instances/{path}{query}") == (202, None)
    suspended, resumed, terminated = (message.event for message in edge.hub.sent)
    assert isinstance(suspended, ExecutionSuspended)
    assert isinstance(resumed, ExecutionResumed)
    assert isinstance(terminated, ExecutionTerminated)
    assert (suspended.reason, resumed.reason, terminated.input) == (reason, reason, reason)


@pytest.mark.parametrize(
    ("status", "operation"), [(RuntimeStatus.SUSPENDED, "suspend"), (RuntimeStatus.RUNNING, "resume")]
)
async def test_suspending_twice_and_resuming_a_running_instance_is_500(
    edge: Edge, status: RuntimeStatus, operation: str
) -> None:
    edge.hub.add("x", status)

    code, answer = await answer_of(edge, "POST", f"/instances/x/{operation}")
    assert code == 500
    assert answer["Message"] == "Something went wrong while processing your request"
    assert answer["ExceptionMessage"] == (
        f"Cannot {operation} the orchestration instance x because instance is in the {status.value} state."
    )
    assert answer["ExceptionType"] == "System.InvalidOperationException"
    assert edge.hub.sent == []


ONLY_FAILED = 'This orchestration has status Completed, but only orchestrations in the "Failed" state can be rewound.'


async def test_a_rewind_is_for_failed_instances(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.FAILED)
    edge.hub.add("y", RuntimeStatus.COMPLETED)

    assert await answer_of(edge, "POST", "/instances/x/rewind?reason=why%20not") == (202, None)
    assert await answer_of(edge, "POST", "/instances/nowhere/rewind") == (404, None)
    code, answer = await answer_of(edge, "POST", "/instances/y/rewind")
    assert (code, answer) == (412, ONLY_FAILED)
    assert edge.hub.rewound == [("x", "why not")]


async def test_a_rewind_that_would_not_be_sound_is_412_with_the_reason(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.FAILED)

    async def refuse(instance_id: str, reason: str) -> None:
        raise RequestError(412, "several external events")

    edge.hub.rewind_instance = refuse  # type: ignore[method-assign]
    assert await answer_of(edge, "POST", "/instances/x/rewind") == (412, "several external events")


async def test_a_restart_starts_the_same_orchestrator_with_the_same_input_under_a_new_id(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED, input='"in"')

    code, answer = await answer_of(edge, "POST", "/instances/x/restart")
    assert code == 202
    assert answer["id"] != "x"
    again = edge.hub.records[answer["id"]]
    assert (again.name, again.input) == ("Orch", '"in"')


async def test_a_restart_under_the_same_id_needs_a_finished_instance(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED)
    edge.hub.add("y")

    path = "restart?restartWithNewInstanceId=False"
    code, answer = await answer_of(edge, "POST", f"/instances/x/{path}")
    assert (code, answer["id"]) == (202, "x")
    code, answer = await answer_of(edge, "POST", f"/instances/y/{path}")
    assert code == 409
    assert answer["Message"] == "A non-terminal instance with this instance ID already exists."
    assert answer["ExceptionMessage"] == "An Orchestration instance with the status Running already exists."


async def test_a_restart_of_an_unknown_instance_is_400(edge: Edge) -> None:
    code, answer = await answer_of(edge, "POST", "/instances/nowhere/restart")
    assert code == 400
    assert answer["Message"] == "InstanceId does not match a valid orchestration instance."
    assert answer["ExceptionMessage"] == "No instance with ID 'nowhere' was found. (Parameter 'instanceId')"


@pytest.mark.parametrize(
    ("method", "path", "feature"),
    [
        ("GET", "/instances?taskHub=Other", "other task hubs"),
        ("GET", "/instances?connection=Other", "other storage connections"),
    ],
)
async def test_a_feature_that_durablehost_does_not_have_is_501_with_its_name(
    edge: Edge, method: str, path: str, feature: str
) -> None:
    status, answer = await answer_of(edge, method, path)

    assert status == 501
    assert answer["Message"].startswith(f"durablehost does not support {feature} yet")
    assert answer["ExceptionMessage"] == answer["Message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/nothing"),
        ("GET", "/orchestrators/Orch"),
        ("PUT", "/orchestrators/Orch"),
        ("POST", "/orchestrators"),
        ("POST", "/orchestrators//x"),
        ("POST", "/orchestrators/Orch/x/y"),
        ("POST", "/instances/x"),
        ("PATCH", "/instances/x"),
        ("GET", "/instances/x/terminate"),
        ("POST", "/instances/x/explode"),
        ("POST", "/instances/x/raiseEvent"),
        ("GET", "x/instances"),
    ],
)
async def test_a_path_or_verb_without_a_route_is_404_without_a_body(edge: Edge, method: str, path: str) -> None:
    assert await answer_of(edge, method, path) == (404, None)


async def test_make_primary_is_200(edge: Edge) -> None:
    assert await answer_of(edge, "POST", "/makeprimary") == (200, None)


async def test_the_base_is_found_in_any_case(edge: Edge) -> None:
    edge.hub.add("x")

    async with edge.request("GET", "/RunTime/WebHooks/DurableTask/Instances/x/") as answer:
        assert answer.status == 202


async def test_storage_that_does_not_answer_is_503_with_retry_after(edge: Edge) -> None:
    edge.hub.failure = StorageUnavailable("127.0.0.1:10002 refused the connection")

    async with edge.manage("GET", "/instances/x") as answer:
        body = await answer.json()
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "10002" in body["ExceptionMessage"]


async def test_a_payload_that_is_too_large_to_store_is_413_with_the_limit(edge: Edge) -> None:
    edge.hub.failure = PayloadTooLarge("The payload x is larger than 1 bytes.")

    status, answer = await answer_of(edge, "POST", "/orchestrators/Orch", data="1")

    assert (status, answer["ExceptionMessage"]) == (413, "The payload x is larger than 1 bytes.")


async def test_a_request_that_storage_refuses_is_400_with_the_reason(edge: Edge) -> None:
    edge.hub.failure = StorageRefused("The property value is larger than 64 KiB")

    status, answer = await answer_of(edge, "GET", "/instances/x")

    assert (status, answer["Message"]) == (400, "One or more of the arguments submitted is incorrect")
    assert answer["ExceptionMessage"] == "The storage refuses it: The property value is larger than 64 KiB"


async def test_an_unexpected_error_is_500_without_its_trace_and_is_logged(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    edge.hub.failure = KeyError("secret detail")

    status, answer = await answer_of(edge, "GET", "/instances/x")

    assert (status, answer["Message"]) == (500, "Something went wrong while processing your request")
    assert "secret" not in json.dumps(answer)
    assert "secret detail" in caplog.text


async def test_a_damaged_record_is_marked_in_its_custom_status_and_the_others_are_served(edge: Edge) -> None:
    edge.hub.add("a", custom_status='"busy"', problem="CreatedTime is a text, not a time")
    edge.hub.add("b", custom_status='"busy"')
    shown = {"unreadable": "CreatedTime is a text, not a time", "customStatus": "busy"}

    status, listed = await answer_of(edge, "GET", "/instances")
    assert (status, [each["customStatus"] for each in listed]) == (200, [shown, "busy"])
    status, body = await answer_of(edge, "GET", "/instances/a")
    assert (status, body["instanceId"], body["customStatus"]) == (202, "a", shown)
    assert (await answer_of(edge, "POST", "/instances/a/restart"))[0] == 409


async def test_a_damaged_history_is_shown_as_one_entry_with_the_reason(edge: Edge) -> None:
    edge.hub.add("x", RuntimeStatus.COMPLETED)
    edge.hub.history_failure = UnreadableState("row 3 is damaged")

    status, body = await answer_of(edge, "GET", "/instances/x?showHistory=true")
    assert (status, body["historyEvents"]) == (200, [{"EventType": "Unreadable", "Reason": "row 3 is damaged"}])


async def test_an_operation_that_needs_a_damaged_state_is_409_with_the_reason(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    edge.hub.failure = UnreadableState("row 3 is damaged")

    status, body = await answer_of(edge, "POST", "/instances/x/rewind?reason=r")
    assert (status, body["ExceptionMessage"]) == (409, "row 3 is damaged")
    assert not caplog.records


async def test_the_rpc_listener_serves_nothing_but_its_base(edge: Edge) -> None:
    origin = edge.server.rpc_base_url.removesuffix("/durabletask/")
    for path in ("/", "/api/Hello", "/admin/host/status", "/runtime/webhooks/durabletask/instances"):
        async with edge.session.get(origin + path) as answer:
            assert (answer.status, await answer.read()) == (404, b"")


async def test_body_size_is_limited_on_the_public_port_and_not_on_rpc(serve: EdgeFactory) -> None:
    edge = await serve(body_limit_bytes=1000)
    body = json.dumps("x" * 2_000_000).encode()

    assert (await answer_of(edge, "POST", "/orchestrators/Orch", data=io.BytesIO(body))) == (413, None)
    async with edge.session.post(f"{edge.server.rpc_base_url}orchestrators/Orch", data=io.BytesIO(body)) as answer:
        assert answer.status == 202
