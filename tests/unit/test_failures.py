"""The form in which an activity's exception reaches the orchestrator."""

from __future__ import annotations

import pytest

from shared_code.failures import (
    MAX_MESSAGE_LENGTH,
    UNNAMED_TYPE,
    ActivityError,
    is_permanent,
    leaving_activity,
    read_failure,
)


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


FORMS = (
    "Activity function 'a' failed:  {} \n {{}}",
    "Activity function 'a' failed:  Result: Failure\r\nException: {}\r\nStack: ... \n {{}}",
    "Activity function 'a' failed: One or more errors. (Result: Failure\nException: {}\nStack:   File\n) \n {{}}",
)


def left(error: Exception) -> str:
    """The text of an error that has left its activity."""
    with pytest.raises(type(error)) as caught, leaving_activity():
        raise error
    return f"{type(error).__name__}: {caught.value}"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("message", ["cannot read x", "cannot read x" * 100])
def test_a_permanent_error_is_known_by_its_text_and_shown_without_the_mark(form: str, message: str) -> None:
    failure = Exception(form.format(left(ActivityError(message))))

    assert is_permanent(failure)
    assert (read_failure(failure).type, read_failure(failure).message[:13]) == ("ActivityError", "cannot read x")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "error", [ActivityError("cannot read x", is_permanent=False), ValueError("not permanent"), ValueError()]
)
def test_every_other_error_may_pass(form: str, error: Exception) -> None:
    assert not is_permanent(Exception(form.format(left(error))))


@pytest.mark.parametrize("text", ["", "Language Worker Process exited. Pid=7. \n None", "terminated by hand"])
def test_a_failure_without_an_exception_of_the_activity_may_pass(text: str) -> None:
    assert not is_permanent(Exception(text))


def test_a_chunk_out_of_time_has_an_error_of_its_own_name() -> None:
    error = read_failure(TimeoutError("not done within 5 seconds"))

    assert str(error) == "ChunkTimeout: not done within 5 seconds"
