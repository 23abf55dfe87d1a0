"""The texts of failures as the durable extension writes them: orchestrators catch them, and scripts parse them.

The details of a failed activity are the JSON of a .NET exception. Mirrors what Json.NET makes of one, RpcException of
the Functions host, and the texts of OrchestrationFailureException.
"""

from __future__ import annotations

from durablehost.core.json_text import compact
from durablehost.types import JsonObject, JsonValue

_EXCEPTION = "System.Exception"
_SEVERAL_ERRORS = "System.AggregateException"
_SEVERAL_ERRORS_TEXT = "One or more errors occurred."
_HRESULT = -2146233088
# Python writes it between the traceback of an exception and that of the one that was raised from it.
_RAISED_FROM = "\n\nThe above exception was the direct cause of the following exception:\n\n"


def problem_details(problem: str) -> str:
    """The details of a task that failed although no function of the app raised anything."""
    return compact(_exception(_EXCEPTION, problem))


def raised_details(text: str, error: str, stack: str) -> str:
    """The details of an activity that raised `error`; `text` is the part of the reason that names it."""
    return compact(_exception(_EXCEPTION, text, inner=_worker_exception(error, stack)))


def http_details(message: str) -> str:
    """The details of a request of `call_http` that got no response."""
    return compact(
        {
            "$type": "System.Net.Http.HttpRequestException, System.Net.Http",
            "HttpRequestError": 0,
            "StatusCode": None,
            "Message": message,
            "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
            "InnerException": None,
            "HelpLink": None,
            "Source": "System.Net.Http",
            "HResult": _HRESULT,
            "StackTrace": None,
        }
    )


def orchestrator_details(error: str, stack: str = "") -> str:
    """The details of an orchestrator that failed, for its parent; of `stack` only the frames of the app's own code."""
    return f"Message: {error}, StackTrace: {_frames(stack)}"


def unhandled_text(error: str, stack: str) -> str:
    """The text of an error that a function raised outside of what the SDK handles."""
    return f"{_SEVERAL_ERRORS_TEXT} ({_worker_text(error, stack)})"


def unhandled_details(error: str, stack: str) -> str:
    """The details of an orchestrator that failed with `unhandled_text`, for its parent."""
    inner = _worker_exception(error, stack)
    return compact({**_exception(_SEVERAL_ERRORS, _SEVERAL_ERRORS_TEXT, inner=inner), "InnerExceptions": [inner]})


def _worker_text(error: str, stack: str) -> str:
    return f"Result: Failure\nException: {error}\nStack: {stack}"


def _worker_exception(error: str, stack: str) -> JsonObject:
    return _exception(_EXCEPTION, _worker_text(error, stack))


def _exception(class_name: str, message: str, inner: JsonValue = None) -> dict[str, JsonValue]:
    return {
        "$type": f"{class_name}, System.Private.CoreLib",
        "ClassName": class_name,
        "Message": message,
        "Data": None,
        "InnerException": inner,
        "HelpURL": None,
        "StackTraceString": None,
        "RemoteStackTraceString": None,
        "RemoteStackIndex": 0,
        "ExceptionMethod": None,
        "HResult": _HRESULT,
        "Source": None,
        "WatsonBuckets": None,
    }


def _frames(stack: str) -> str:
    """The frames of a traceback. Its last lines repeat the error, and the SDK raises an error of its own from it."""
    of_the_app = stack.rpartition(_RAISED_FROM)[0] or stack
    return "\n".join(line for line in of_the_app.splitlines() if line.startswith("  "))
