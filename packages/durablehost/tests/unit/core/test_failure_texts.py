"""The texts of failures: those of the extension, but for the traces of .NET."""

from __future__ import annotations

import json

from durablehost.core.failure_texts import (
    http_details,
    orchestrator_details,
    problem_details,
    raised_details,
    unhandled_details,
    unhandled_text,
)

STACK = 'Traceback (most recent call last):\n  File "a.py", line 1, in main\n    fail()\nValueError: boom\n'
# As the extension 3.19 has stored them, but that it has traces of .NET in `StackTraceString`, and `Source`.
WORKER_EXCEPTION = (
    '{"$type":"System.Exception, System.Private.CoreLib","ClassName":"System.Exception","Message":"Result: Failure\\n'
    'Exception: ValueError: boom\\nStack: Traceback (most recent call last):\\n  File \\"a.py\\", line 1, in main\\n'
    '    fail()\\nValueError: boom\\n","Data":null,"InnerException":null,"HelpURL":null,"StackTraceString":null,'
    '"RemoteStackTraceString":null,"RemoteStackIndex":0,"ExceptionMethod":null,"HResult":-2146233088,"Source":null,'
    '"WatsonBuckets":null}'
)
REST = (
    '"HelpURL":null,"StackTraceString":null,"RemoteStackTraceString":null,"RemoteStackIndex":0,'
    '"ExceptionMethod":null,"HResult":-2146233088,"Source":null,"WatsonBuckets":null'
)
ACTIVITY_EXCEPTION = (
    '{"$type":"System.Exception, System.Private.CoreLib","ClassName":"System.Exception","Message":" ValueError: boom",'
    f'"Data":null,"InnerException":{WORKER_EXCEPTION},{REST}}}'
)
UNHANDLED_EXCEPTION = (
    '{"$type":"System.AggregateException, System.Private.CoreLib","ClassName":"System.AggregateException",'
    f'"Message":"One or more errors occurred.","Data":null,"InnerException":{WORKER_EXCEPTION},{REST},'
    f'"InnerExceptions":[{WORKER_EXCEPTION}]}}'
)


def test_the_details_of_an_activity_are_an_exception_with_the_traceback_in_the_inner_one() -> None:
    assert raised_details(" ValueError: boom", "ValueError: boom", STACK) == ACTIVITY_EXCEPTION


def test_a_problem_that_no_function_raised_is_an_exception_without_an_inner_one() -> None:
    exception = json.loads(problem_details("no such activity"))
    assert (exception["Message"], exception["InnerException"]) == ("no such activity", None)


def test_a_request_that_got_no_response_has_an_exception_of_its_own_type() -> None:
    exception = json.loads(http_details("no route"))
    assert exception["$type"] == "System.Net.Http.HttpRequestException, System.Net.Http"
    assert exception["Message"] == "no route"


def test_a_parent_gets_the_message_and_the_frames() -> None:
    assert orchestrator_details("boom") == "Message: boom, StackTrace: "
    details = orchestrator_details("boom", STACK)
    assert details == 'Message: boom, StackTrace:   File "a.py", line 1, in main\n    fail()'


def test_a_parent_gets_no_frames_of_the_error_that_the_sdk_raises_from_that_of_the_app() -> None:
    raised_from = "\nThe above exception was the direct cause of the following exception:\n\n"
    stack = f'{STACK}{raised_from}Traceback (most recent call last):\n  File "sdk.py", line 2, in f\nException: boom\n'
    assert orchestrator_details("boom", stack) == orchestrator_details("boom", STACK)


def test_an_error_that_the_sdk_did_not_handle_is_reported_as_the_functions_host_does() -> None:
    assert unhandled_text("ValueError: boom", STACK) == (
        f"One or more errors occurred. (Result: Failure\nException: ValueError: boom\nStack: {STACK})"
    )
    assert unhandled_details("ValueError: boom", STACK) == UNHANDLED_EXCEPTION
