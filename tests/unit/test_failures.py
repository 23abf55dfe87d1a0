"""The form in which an activity's exception reaches the orchestrator."""

from __future__ import annotations

import pytest

from shared_code.failures import MAX_MESSAGE_LENGTH, UNNAMED_TYPE, read_failure


@pytest.mark.parametrize(
    ("text", "type_name", "message"),
    [
        ("Activity function 'process_chunk_activity' failed:  ValueError: boom \n {}", "ValueError", "boom"),
        ("Activity function 'a' failed:  ValueError: boom", "ValueError", "boom"),
        (
            "Activity function 'a' failed:  ValueError: boom \n "
            '{"ClassName":"System.Exception","Message":" ValueError: boom","InnerException":{"Message":'
            '"Result: Failure\\nException: ValueError: boom\\nStack: Traceback (most recent call last):\\n"}}',
            "ValueError",
            "boom",
        ),
        ("Activity function 'a' failed:  KeyError: 'x: y' \n details \n more", "KeyError", "'x: y'"),
        ("Activity function 'a' failed:  ValueError: two\nlines \n {}", "ValueError", "two\nlines"),
        ("Activity function 'a' failed:  ZeroDivisionError \n None", "ZeroDivisionError", ""),
        (
            "Activity function 'a' failed:  polars.exceptions.ComputeError: bad \n {}",
            "polars.exceptions.ComputeError",
            "bad",
        ),
        (
            "Activity function 'a' failed: One or more errors occurred. (Result: Failure\n"
            'Exception: ReadingsError: cannot read x\nStack:   File "a.py", line 1\n) \n {}',
            "ReadingsError",
            "cannot read x",
        ),
        (
            "Activity function 'a' failed:  Result: Failure\r\nException: ValueError: boom\r\nStack: ... \n {}",
            "ValueError",
            "boom",
        ),
        ("Language Worker Process exited. Pid=7. \n None", UNNAMED_TYPE, "Language Worker Process exited. Pid=7."),
        ("Orchestrator function 'o' failed: Terminated by hand \n x", UNNAMED_TYPE, "Terminated by hand"),
        ("", UNNAMED_TYPE, ""),
    ],
)
def test_type_and_message_are_those_of_the_activity(text: str, type_name: str, message: str) -> None:
    error = read_failure(Exception(text))

    assert (error.type, error.message) == (type_name, message)


def test_a_long_message_is_cut() -> None:
    error = read_failure(Exception(f"Activity function 'a' failed:  ValueError: {'x' * 100_000}"))

    assert len(error.message) == MAX_MESSAGE_LENGTH


def test_a_chunk_out_of_time_has_an_error_of_its_own_name() -> None:
    error = read_failure(TimeoutError("not done within 5 seconds"))

    assert str(error) == "ChunkTimeout: not done within 5 seconds"
