"""What the commands on a task hub without a host have in common: the hub is opened, and nothing is received from it."""

from __future__ import annotations

from dataclasses import replace

from durablehost.app.discovery import discover
from durablehost.clock import SystemClock
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.explanation import AppFunctions
from durablehost.engine.ports import TaskHub
from durablehost.errors import ConfigurationError
from durablehost.host.hub_options import hub_options
from durablehost.host.worker_id import is_abandoned
from durablehost.settings import Settings
from durablehost.settings.environment import Environment
from durablehost.storage.account.options import StorageOptions


def receiving_nothing(settings: Settings) -> StorageOptions:
    """The options of a hub that receives nothing. Hosts of this machine that have ended are known."""
    return replace(hub_options(settings), is_abandoned_owner=is_abandoned)


def client_of(hub: TaskHub, settings: Settings, app: AppFunctions | None) -> OrchestrationClient:
    """A client that accepts any name of an orchestrator or entity; `app`: the known functions, for explanations."""
    return OrchestrationClient(
        hub,
        None,
        SystemClock(),
        entity_functions=None,
        overridable=settings.durable.overridable_states,
        app=app,
    )


def functions_of(settings: Settings) -> AppFunctions | None:
    """The functions of the app; None if it has none that durablehost can serve."""
    try:
        find_setting = Environment(settings.environment).find
        app = discover(settings.script_root, find_setting=find_setting, has_bundle=settings.has_bundle)
    except ConfigurationError:
        return None
    return AppFunctions.of(app) if app.functions else None
