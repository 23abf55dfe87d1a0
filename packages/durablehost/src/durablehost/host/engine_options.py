"""Makes the options of the engine from the settings of an app."""

from __future__ import annotations

from durablehost.engine.dispatcher import EngineOptions
from durablehost.settings import Settings


def engine_options(settings: Settings) -> EngineOptions:
    durable = settings.durable
    return EngineOptions(
        max_orchestrations=durable.max_concurrent_orchestrators,
        max_activities=durable.max_concurrent_activities,
        renew_seconds=settings.storage.shortest_visibility_seconds / 3,
        max_entity_batch_size=durable.max_entity_batch_size,
        entity_reorder_window_seconds=durable.entity_reorder_window_seconds,
        rules=durable.rules,
    )
