"""Makes the calls on either host and collects the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from azure.data.tables import TableServiceClient

from packages.durablehost.tests.e2e.host_process import Answer, call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.interop.answers.plain import TOKEN_HEADER, plain_answer
from packages.durablehost.tests.interop.answers.steps import Call, Plant, Step, Until, UntilEntity

STATE_SECONDS = 180
GROUPS_AT_ONCE = 8

Answers = dict[str, list[dict[str, Any]]]


@dataclass
class Caller:
    """A host with a task hub of its own."""

    url: str
    hub_name: str
    connection_string: str
    _tokens: dict[str, str] = field(default_factory=dict)

    def answers(self, groups: Mapping[str, Sequence[Step]]) -> Answers:
        """The answers to the calls of each group. Groups run side by side, the steps of a group in order."""
        with ThreadPoolExecutor(GROUPS_AT_ONCE) as pool:
            running = {name: pool.submit(self.group, name, steps) for name, steps in groups.items()}
            return {name: each.result() for name, each in running.items()}

    def group(self, name: str, steps: Sequence[Step]) -> list[dict[str, Any]]:
        answers = []
        for step in steps:
            if isinstance(step, Plant):
                self._plant(step)
            elif not isinstance(step, Call):
                self._wait(step)
            else:
                answer = self._answer(name, step)
                if step.is_compared:
                    answers.append({"call": step.label, **plain_answer(answer, hub_name=self.hub_name)})
                else:
                    assert answer.status in (200, 202), f"{step.label}: {answer.status} {answer.body!r}"
        return answers

    def _answer(self, group: str, step: Call) -> Answer:
        headers = {"Content-Type": step.content_type} if step.content_type else {}
        if step.sends_token:
            headers[TOKEN_HEADER] = self._tokens[group]
        if step.token:
            headers[TOKEN_HEADER] = step.token
        answer = self._call(step.method, step.path, step.body, headers)
        if step.keeps_token:
            self._tokens[group] = answer.headers[TOKEN_HEADER]
        return answer

    def _call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        mark = "&" if "?" in path else "?"
        return call(method, f"{self.url}{MANAGEMENT}/{path}{mark}code=test", body, headers=headers)

    def _wait(self, step: Until | UntilEntity) -> None:
        def reached() -> bool:
            assert self._has_value(step) if isinstance(step, UntilEntity) else self._has_come_to(step), step
            return True

        eventually_blocking(reached, timeout_seconds=STATE_SECONDS, interval_seconds=0.1)

    def _has_come_to(self, step: Until) -> bool:
        answer = self._call("GET", f"instances/{step.instance_id}?showHistory=true")
        if not (step.status or step.event_type):
            return answer.status in (200, 404)
        if not answer.body:
            return False
        events = [each["EventType"] for each in answer.document.get("historyEvents") or ()]
        return bool(answer.document["runtimeStatus"] == step.status) if step.status else step.event_type in events

    def _has_value(self, step: UntilEntity) -> bool:
        answers = (self._call("GET", f"instances/@counter@{key}") for key in step.keys)
        entities = (answer.document["input"] for answer in answers if answer.body)
        return any(json.loads(entity.get("state") or "null") == step.state for entity in entities if entity)

    def _plant(self, step: Plant) -> None:
        with TableServiceClient.from_connection_string(self.connection_string) as service:
            table = service.get_table_client(f"{self.hub_name}Instances")
            row = dict(table.get_entity(step.like, ""))
            for name in ("Output", "CompletedTime", "CustomStatus"):
                row.pop(name, None)
            table.upsert_entity({**row, **step.columns, "PartitionKey": step.instance_id, "RuntimeStatus": step.status})
