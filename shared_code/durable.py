"""The part of the durable SDK that the app uses: `shared_code` does not import the SDK, and tests can replace it.

The SDK's own classes fit these protocols; its documentation says what the methods do.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any, Protocol

# What an orchestrator yields are tasks, and what it gets back are their results.
Steps = Generator[Any, Any, Any]


class Context(Protocol):
    """The DurableOrchestrationContext."""

    current_utc_datetime: datetime
    instance_id: str
    is_replaying: bool

    def get_input(self) -> Any: ...

    def set_custom_status(self, status: Any) -> None: ...

    def call_activity(self, name: str, input_: Any) -> Any: ...

    def call_sub_orchestrator(self, name: str, input_: Any) -> Any: ...

    def create_timer(self, fire_at: datetime) -> Any: ...

    def task_any(self, activities: list[Any]) -> Any: ...


class Client(Protocol):
    """The DurableOrchestrationClient."""

    async def get_status(
        self,
        instance_id: str,
        show_history: bool = False,
        show_history_output: bool = False,
        show_input: bool = False,
    ) -> Any: ...

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any | None = None
    ) -> str: ...
