"""Sends the log records of user code to the host, each with the call that it belongs to.

Mirrors the AsyncLoggingHandler of the Azure worker; records that belong to no call are sent too.
"""

from __future__ import annotations

import logging
import sys

from durablehost.worker.channel import Channel
from durablehost.worker.context import current_call
from durablehost.worker.failure import describe
from durablehost.worker.protocol import Log

_LONGEST_SHOWN = 500
_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


class ChannelHandler(logging.Handler):
    """The handler of the root logger."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self._text(record)
            if self._channel.is_forked:
                # The connection belongs to the original; the host reads stderr of both.
                sys.stderr.write(f"{record.levelname}: {message}\n")
                return
            call = current_call()
            self._channel.send(
                Log(
                    function_name=call.function_name if call else None,
                    invocation_id=call.invocation_id if call else None,
                    logger=record.name,
                    level=_level_of(record.levelno),
                    message=message.encode("utf-8", "backslashreplace").decode("utf-8"),
                )
            )
        except Exception:
            self.handleError(record)

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:
            # Python would print a stack, most of it of durablehost, and the record would be lost.
            failure = describe(error)
            return (
                f"A log record of {record.pathname}, line {record.lineno}, cannot be formatted: {failure.type_name}: "
                f"{failure.message}. Its text is {_shown(record.msg)}, its arguments are {_shown(record.args)}."
            )


def install(channel: Channel, *, is_debug: bool) -> None:
    root = logging.getLogger()
    root.addHandler(ChannelHandler(channel))
    root.setLevel(logging.DEBUG if is_debug else logging.INFO)


def _shown(value: object) -> str:
    try:
        return repr(value)[:_LONGEST_SHOWN]
    except Exception as error:
        return f"of type {type(value).__name__}, whose repr() raised {describe(error).type_name}"


def _level_of(number: int) -> int:
    """The standard level at or below a number, so that the host gets five different ones."""
    return next((level for level in _LEVELS if number >= level), logging.DEBUG)
