"""Frames: decoding returns the encoded value, and no other bytes are accepted."""

from __future__ import annotations

import json
import struct

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given
from hypothesis import strategies as st

from durablehost.app.invocation import Failure, HttpRequest, HttpResponse, Invocation, InvocationResult
from durablehost.app.model import Binding, Direction
from durablehost.errors import FrameTooLarge, ProtocolError
from durablehost.worker import protocol
from durablehost.worker.protocol import (
    Frame,
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
        Log(function_name=None, invocation_id=None, logger="l", level=30, message="ü\n"),
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
    "text", ["x" * 3_000_000, "ё" * 1_500_000, "😀" * 70_000, "\ud83d" * 70_000, "x" * 65_536 + "ü"]
)
def test_a_large_text_survives_the_wire_unescaped_and_in_small_pieces(text: str) -> None:
    call = Invoke(invocation=Invocation(invocation_id="1", function_name="F", inputs={"a": text, "b": "x", "c": text}))
    result = Result(
        invocation_id="1",
        result=InvocationResult(
            return_value=text,
            response=HttpResponse(status=200, headers={}, body=b"\xff" * 3_000_000),
            outputs={"q": text, "r": "x"},
        ),
    )
    for message in (call, result):
        assert there_and_back(message) == message
        pieces = list(Frame(message))
        assert max(map(len, pieces)) <= 4 * 1024 * 1024
        assert sum(map(len, pieces)) == Frame(message).size
    assert Frame(call).size < 2 * len(text.encode("utf-8", "surrogatepass")) + 1000


def test_a_frame_above_the_limit_is_refused_with_its_size_and_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_BODY_SIZE", 100_000)
    for payload in ("x" * 99_000, "x" * 101_000, "ё" * 70_000):
        message = Result(invocation_id="1", result=InvocationResult(return_value=payload))
        if len(payload.encode()) < 100_000:
            assert there_and_back(message) == message
        else:
            with pytest.raises(FrameTooLarge, match=r"1\d{5} bytes are more than the 100000 that may pass"):
                Frame(message)


@pytest.mark.parametrize("span", [[0], [0, 9], [-1, 2], [0, -1], ["a", 1], [0, 1, 2]])
def test_a_text_outside_of_the_blob_is_refused(span: list[object]) -> None:
    header = json.dumps(
        {"type": "Invoke", "invocation": {"invocation_id": "1", "function_name": "F", "inputs": {"a": span}}}
    ).encode()
    with pytest.raises(ProtocolError):
        protocol.decode(struct.pack("!II", len(header), 1), header + b"x")


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
