"""Resumes a run: finds out which chunks an earlier run has done, so that a new run has only the others to process.

However a run has ended, its history has the results of all chunks and groups that were recorded until then. The rule of
this file: it only reads, and refuses by field what does not fit.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Final

from shared_code.aggregation import RunFailed, fold_chunks, fold_groups
from shared_code.contracts import (
    Contract,
    InvalidInput,
    JsonObject,
    Problem,
    ResumeRequest,
    RunInput,
    RunName,
    RunPlan,
    StoredChunks,
)
from shared_code.durable import Client
from shared_code.location import READINGS, RESULTS
from shared_code.names import ORCHESTRATOR, PREPARE_RUN, PROCESS_CHUNK
from shared_code.results import NOTHING, ChunkResult, FoldedChunks

_UNFINISHED: Final = frozenset({"Pending", "Running", "ContinuedAsNew", "Suspended"})
# What a new run cannot change, because its result has chunks of the earlier one.
_FIXED: Final = ("start", "end", "total_chunks", "time")
# Of these the parent's history does not have the result, but their own histories have those of their chunks.
_OPEN_GROUPS: Final = frozenset({"SubOrchestrationInstanceCreated", "SubOrchestrationInstanceFailed"})


class ResumedRun(Contract):
    """The input of the orchestrator for a run that resumes another; it does not process the chunks in `kept`.

    `stored` is the run that has stored their results; null if none has.
    """

    resume_of: str
    request: RunInput
    kept: FoldedChunks
    stored: RunName | None = None

    @property
    def stored_chunks(self) -> StoredChunks | None:
        ids = [result.chunk_id for result in self.kept.results]
        return StoredChunks(run=self.stored, chunk_ids=ids) if self.stored and ids else None

    def to_json(self) -> JsonObject:
        return {
            "resume_of": self.resume_of,
            "request": self.request.to_json(),
            "kept": self.kept.to_json(),
            **({"stored": self.stored.to_json()} if self.stored else {}),
        }


def is_unfinished(status: Any) -> bool:
    return bool(status) and status.runtime_status.name in _UNFINISHED


async def resume(client: Client, asked: ResumeRequest, *, location: str, stores_results: bool) -> ResumedRun:
    """The run that processes the failed and the missing chunks of the finished run `asked.resume_of`.

    `location` is that of the readings of this run. `stores_results`: this run stores the results of all chunks, so
    those of the earlier run must be stored too.

    Raises:
        InvalidInput: there is no such run, it has nothing left to do, or `asked` contradicts it.
    """
    status = await _read(client, asked.resume_of)
    before = _input_of(status)
    earlier = before.request
    _refuse_contradictions(asked, earlier)
    try:
        kept = fold_groups([before.kept, await _recorded(client, status)]).in_order()
        stored = _stored(status, before)
    except (InvalidInput, RunFailed) as error:
        raise _refuse(f"names a run whose history cannot be read: {error}") from None
    ids = [result.chunk_id for result in kept.results]
    if len(set(ids)) < len(ids) or (ids and ids[-1] >= earlier.total_chunks):
        raise _refuse("names a run whose history does not fit its input")
    if kept.readings and kept.readings.location != location and not asked.allow_changed_readings:
        raise _refuse(
            f"names a run over {kept.readings.location}, which {READINGS} does not name any more;"
            " set allow_changed_readings if its results shall be merged with those of other readings"
        )
    if stores_results and ids and stored is None:
        raise _refuse(f"names a run that has not stored its results, as this one does because of {RESULTS}")
    options = {name: getattr(asked, name) for name in asked.model_fields_set.difference(_FIXED, ["resume_of"])}
    time = asked.time or earlier.time or datetime.now(timezone.utc)
    request = earlier.model_copy(update={**options, "time": time, "instance_id": None, "prepare": None})
    return ResumedRun(resume_of=asked.resume_of, request=request, kept=kept, stored=stored)


async def _read(client: Client, instance_id: str) -> Any:
    """The status of a finished run that has failed or missing chunks, with its history."""
    status = await client.get_status(instance_id, show_history=True, show_history_output=True, show_input=True)
    if not status:
        raise _refuse("names no instance")
    if status.name != ORCHESTRATOR:
        raise _refuse(f"names an instance of '{status.name}', which is no run of this app")
    if is_unfinished(status):
        raise _refuse("names a run that is not finished; wait for its end, or terminate it")
    if isinstance(status.output, dict) and status.output.get("status") == "completed":
        raise _refuse("names a run whose chunks have all succeeded")
    return status


def _input_of(status: Any) -> ResumedRun:
    """What the run was asked for; one that resumed no other has no chunks in `kept`."""
    value = _decoded(status.input_)
    members = value if isinstance(value, dict) else {}
    if "request" in members and "kept" not in members:
        raise _refuse("names a group of a larger run; name that run")
    try:
        if "kept" in members:
            return ResumedRun.from_json(value)
        return ResumedRun(resume_of="", request=RunInput.from_json(value), kept=NOTHING)
    except InvalidInput as error:
        raise _refuse(f"names an instance whose input is not that of a run: {error}") from None


def _refuse_contradictions(asked: ResumeRequest, earlier: RunInput) -> None:
    was = earlier.to_json()
    problems = [
        Problem(target=name, message=f"must be that of the earlier run, {was[name]}; leave the field out")
        for name in _FIXED
        if name in asked.model_fields_set and name in was and getattr(asked, name) != getattr(earlier, name)
    ]
    if asked.instance_id == asked.resume_of:
        problems.append(
            Problem(target="instance_id", message="must not be that of the earlier run, which stays as it is")
        )
    if problems:
        raise InvalidInput(*problems)


async def _recorded(client: Client, status: Any) -> FoldedChunks:
    """The chunks that succeeded, as the history of an orchestration and those of its open groups have them."""
    chunks: dict[int, ChunkResult] = {}
    groups: list[FoldedChunks] = []
    for event in getattr(status, "historyEvents", None) or ():
        kind, function = event.get("EventType"), event.get("FunctionName") or event.get("Name")
        if kind == "TaskCompleted" and function == PROCESS_CHUNK:
            result = ChunkResult.from_json(_decoded(event.get("Result")))
            chunks[result.chunk_id] = result
        elif kind == "SubOrchestrationInstanceCompleted" and function == ORCHESTRATOR:
            groups.append(FoldedChunks.from_json(_decoded(event.get("Result"))).without_failures())
        elif kind in _OPEN_GROUPS and function == ORCHESTRATOR and event.get("InstanceId"):
            group = await client.get_status(event["InstanceId"], show_history=True, show_history_output=True)
            groups.append(await _recorded(client, group))
    return fold_groups([fold_chunks(chunks[chunk_id] for chunk_id in sorted(chunks)), *groups])


def _stored(status: Any, before: ResumedRun) -> RunName | None:
    """The run that has stored the chunks: this one, or, if it ended before it had a plan, the one that it resumed."""
    for event in getattr(status, "historyEvents", None) or ():
        if event.get("EventType") == "TaskCompleted" and PREPARE_RUN in (event.get("FunctionName"), event.get("Name")):
            return RunPlan.from_json(_decoded(event.get("Result"))).run
    return before.stored


def _decoded(value: Any) -> Any:
    """A value that the SDK, the host or both have written as JSON text."""
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value


def _refuse(message: str) -> InvalidInput:
    return InvalidInput(Problem(target="resume_of", message=message))
