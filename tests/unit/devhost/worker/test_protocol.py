"""Frames: what is decoded equals what was encoded, and nothing else is accepted."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given
from hypothesis import strategies as st

from devhost.app.invocation import Failure, HttpRequest, HttpResponse, Invocation, InvocationResult
from devhost.app.model import Binding, Direction
from devhost.errors import ProtocolError
from devhost.worker import protocol
from devhost.worker.protocol import (
    FunctionToLoad,
    Hello,
    Invoke,
    Load,
    Loaded,
    Log,
    Message,
    Ping,
    Pong,
    Result,
    Shutdown,
)

BINDING = Binding(
    name="req", type="httpTrigger", direction=Direction.IN, properties={"name": "req", "methods": ["get"]}
)
REQUEST = HttpRequest(method="GET", url="u", headers={"a": "b"}, query={}, params={"id": "7"}, body=b"\x00\xff")


def there_and_back(message: Message) -> Message:
    frame = protocol.encode(message)
    prefix, body = frame[: protocol.PREFIX_SIZE], frame[protocol.PREFIX_SIZE :]
    assert protocol.body_size(prefix) == len(body)
    return protocol.decode(prefix, body)


@pytest.mark.parametrize(
    "message",
    [
        Hello(token="t"),
        Load(
            root="/r",
            thread_count=3,
            functions=(
                FunctionToLoad(
                    name="F", folder="/r/F", script_file="/r/F/m.py", entry_point="main", bindings=(BINDING,)
                ),
            ),
        ),
        Loaded(failures={"F": Failure(type_name="E", message="m", stack="s")}),
        Invoke(
            invocation=Invocation(invocation_id="1", function_name="F", inputs={"req": REQUEST, "c": "x", "n": None})
        ),
        Result(invocation_id="1", result=InvocationResult()),
        Result(
            invocation_id="1",
            result=InvocationResult(
                return_value="5",
                response=HttpResponse(status=201, headers={"a": "b"}, body=b"\r\n\x80", cookies=("a=b", "c=d")),
                outputs={"q": '"x"'},
            ),
        ),
        Result(
            invocation_id="1",
            result=InvocationResult(failure=Failure(type_name="E", message="\ud800", stack="")),
        ),
        Log(function_name=None, logger="l", level=30, message="ü\n"),
        Ping(),
        Pong(),
        Shutdown(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_survives_the_wire(message: Message) -> None:
    assert there_and_back(message) == message


@given(
    bodies=st.lists(st.binary(max_size=64), max_size=3),
    texts=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
)
def test_any_bytes_and_any_text_survive_the_wire(bodies: list[bytes], texts: dict[str, str]) -> None:
    requests = {
        f"r{number}": HttpRequest(method="POST", url="u", headers=texts, query=texts, params=texts, body=body)
        for number, body in enumerate(bodies)
    }
    message = Invoke(invocation=Invocation(invocation_id="1", function_name="F", inputs={**texts, **requests}))
    assert there_and_back(message) == message


@pytest.mark.parametrize(
    ("header", "blob"),
    [
        (b"{", b""),
        (b"[]", b""),
        (b"{}", b""),
        (b'{"type":"Unknown"}', b""),
        (b'{"type":"Hello"}', b""),
        (b'{"type":"Ping","more":1}', b""),
        (b"\xff", b""),
        (
            protocol.encode(Invoke(invocation=Invocation(invocation_id="", function_name="", inputs={"r": REQUEST})))[
                8:-2
            ],
            b"x",
        ),
    ],
)
def test_anything_else_is_refused(header: bytes, blob: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode(struct.pack("!II", len(header), len(blob)), header + blob)


def test_a_frame_that_announces_too_much_is_refused() -> None:
    with pytest.raises(ProtocolError):
        protocol.body_size(b"\xff" * protocol.PREFIX_SIZE)
