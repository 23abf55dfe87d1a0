"""Warns of what works here and breaks in Azure: each cause once, however many instances it concerns."""

from __future__ import annotations

import logging

from durablehost.resilience import Counts

_log = logging.getLogger("Host.Engine")


class AzureWarnings:
    """The warnings about orchestrations, by the name of their orchestrator."""

    def __init__(self) -> None:
        self._given = Counts()

    def event_in_other_case(self, orchestrator: str, *, name: str, awaited: str) -> None:
        self._warn(
            "The orchestrator '%s' waits for the event '%s', and an event '%s' has come: that wait does not get it, "
            "here as in Azure, because the SDK compares names exactly.",
            orchestrator,
            awaited,
            name,
        )

    def event_carried_over(self, orchestrator: str, name: str) -> None:
        self._warn(
            "The orchestrator '%s' has continued as new before it awaited the event '%s'. durablehost keeps the event "
            "for the next execution; Azure drops it.",
            orchestrator,
            name,
        )

    def continues_without_waiting(self, orchestrator: str, count: int) -> None:
        self._warn(
            "The orchestrator '%s' has continued as new %s times without waiting for anything. If it does so for ever, "
            "it uses up a processor, and in Azure it cannot even be terminated. Make it wait, if only for a timer.",
            orchestrator,
            str(count),
        )

    def timer_left_set(self, orchestrator: str) -> None:
        self._warn(
            "The orchestrator '%s' has finished while one of its timers is set: the instance stays Running until the "
            "timer is due, here as in Azure. Call cancel() on a timer that is no longer needed.",
            orchestrator,
        )

    def version_not_run(self, orchestrator: str, *, version: str, default: str | None) -> None:
        self._warn(
            "An instance of the orchestrator '%s' has the version '%s', but defaultVersion in host.json is %s: in "
            "Azure it stays Pending. Set defaultVersion to that version or a later one, or versionMatchStrategy to "
            '"None".',
            orchestrator,
            version,
            f"'{default}'" if default else "not set",
        )

    def _warn(self, text: str, *arguments: str) -> None:
        if self._given.add((text, arguments)) == 1:
            _log.warning(text, *arguments)
