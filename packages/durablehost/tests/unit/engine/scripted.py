"""An app and an executor with scripted results, for the engine over the in-memory hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from durablehost.app.invocation import Failure, Invocation, InvocationResult
from durablehost.app.model import Binding, Direction, Function, FunctionApp

Script = Callable[[Invocation], Awaitable[InvocationResult]]


def function(name: str, trigger_type: str) -> Function:
    binding = Binding(name="context", type=trigger_type, direction=Direction.IN, properties={})
    return Function(
        name=name,
        folder=Path(name),
        script_file=Path(name) / "__init__.py",
        entry_point="main",
        bindings=(binding,),
        config={},
        registered_name=name,
    )


APP = FunctionApp(
    root=Path(),
    functions=(
        function("Chain", "orchestrationTrigger"),
        function("Other", "orchestrationTrigger"),
        function("Say", "activityTrigger"),
    ),
)


def returned(value: Any) -> InvocationResult:
    return InvocationResult(return_value=json.dumps(value))


def raised(type_name: str, message: str) -> InvocationResult:
    return InvocationResult(failure=Failure(type_name=type_name, message=message, stack="the stack"))


def call(name: str, text: str = "1") -> dict[str, Any]:
    return {"actionType": 0, "functionName": name, "input": text}


def orchestrator_state(*actions: dict[str, Any], **members: Any) -> InvocationResult:
    return returned({"isDone": False, "schemaVersion": 2, "actions": [list(actions)], **members})


@dataclass
class ScriptedExecutor:
    """Runs the script of each function; counts the calls, and how many ran at once at the most."""

    scripts: dict[str, Script] = field(default_factory=dict)
    calls: list[Invocation] = field(default_factory=list)
    running: int = 0
    most_at_once: int = 0

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.calls.append(invocation)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            return await self.scripts[invocation.function_name](invocation)
        finally:
            self.running -= 1

    def script(self, name: str, *results: InvocationResult | Exception) -> None:
        """The results of successive calls; the last one stays."""
        queue = list(results)

        async def next_result(_: Invocation) -> InvocationResult:
            await asyncio.sleep(0)
            result = queue.pop(0) if len(queue) > 1 else queue[0]
            if isinstance(result, Exception):
                raise result
            return result

        self.scripts[name] = next_result
