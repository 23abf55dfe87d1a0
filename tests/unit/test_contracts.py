"""The requests that the app accepts, and its messages about others."""

from __future__ import annotations

import pytest

from shared_code.contracts import (
    ChunkGroup,
    ChunkInput,
    InvalidInput,
    ResumeRequest,
    RunInput,
    RunRequest,
    read_request,
)

RUN = {"start": "2013-01-01T00:00:00Z", "end": "2013-04-01T00:00:00Z", "total_chunks": 12}
CHUNK = {**RUN, "chunk_id": 0, "time": "2013-04-01T00:00:00Z"}


def targets(value: object, contract: type[RunRequest] | type[ChunkInput] = RunRequest) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        contract.from_json(value)
    return [problem.target for problem in caught.value.problems]


def test_a_request_needs_only_its_window_and_the_number_of_chunks() -> None:
    request = RunRequest.from_json(RUN)

    assert request.to_json() == RUN
    assert (request.time, request.instance_id, request.max_failed_chunks) == (None, None, None)


def test_a_request_keeps_every_field_through_json() -> None:
    full = {**RUN, "time": "2013-04-01T06:00:00Z", "instance_id": "run-1", "max_failed_chunks": 0}
    full |= {"max_failed_percent": 2.5, "max_parallel": 7, "chunk_timeout": 0.5, "allow_changed_readings": True}

    assert RunRequest.from_json(full).to_json() == full


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"start": "2013-01-01T00:00:00"}, "start"),
        ({"start": 1356998400}, "start"),
        ({"start": None}, "start"),
        ({"end": "2013-01-01T00:00:00Z"}, "end"),
        ({"end": "2012-01-01T00:00:00Z"}, "end"),
        ({"total_chunks": 0}, "total_chunks"),
        ({"total_chunks": 10_001}, "total_chunks"),
        ({"total_chunks": True}, "total_chunks"),
        ({"total_chunks": 12.0}, "total_chunks"),
        ({"total_chunks": "12"}, "total_chunks"),
        ({"total_chunks": float("nan")}, "total_chunks"),
        ({"end": "2013-01-01T00:00:00.000011Z"}, "total_chunks"),
        ({"time": "2013-01-01"}, "time"),
        ({"time": None}, "time"),
        ({"max_failed_chunks": -1}, "max_failed_chunks"),
        ({"max_failed_chunks": False}, "max_failed_chunks"),
        ({"max_failed_chunks": 10**400}, "max_failed_chunks"),
        ({"max_failed_percent": 100.5}, "max_failed_percent"),
        ({"max_failed_percent": "5"}, "max_failed_percent"),
        ({"max_parallel": 0}, "max_parallel"),
        ({"max_parallel": None}, "max_parallel"),
        ({"chunk_timeout": 0}, "chunk_timeout"),
        ({"chunk_timeout": 86_401}, "chunk_timeout"),
        ({"chunk_timeout": True}, "chunk_timeout"),
        ({"chunk_timeout": None}, "chunk_timeout"),
        ({"allow_changed_readings": 1}, "allow_changed_readings"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], target: str) -> None:
    assert targets({**RUN, **change}) == [target]


@pytest.mark.parametrize(
    "instance_id",
    ["", "@entity", "a/b", "a\\b", "a#b", "a?b", "a%2Fb", "a b", "a\tb", "é", "\ud800", ".", "..", "x" * 257, 7],
)
def test_an_instance_id_that_a_url_would_change_is_refused(instance_id: object) -> None:
    assert targets({**RUN, "instance_id": instance_id}) == ["instance_id"]


@pytest.mark.parametrize("instance_id", ["run-1", "a@b", "0", "x" * 256, "2013-01-01T00:00:00Z", "a_b.c~d"])
def test_an_instance_id_of_visible_ascii_is_accepted(instance_id: str) -> None:
    assert RunRequest.from_json({**RUN, "instance_id": instance_id}).instance_id == instance_id


def test_all_problems_are_reported_at_once() -> None:
    wrong = {"start": "2013-04-01T00:00:00Z", "end": "2013-01-01T00:00:00Z", "total_chunks": True, "extra": 1}

    assert sorted(targets(wrong)) == ["end", "extra", "total_chunks"]
    assert sorted(targets({})) == ["end", "start", "total_chunks"]


@pytest.mark.parametrize("value", [None, [], "text", 1, [RUN]])
def test_a_value_that_is_not_an_object_is_refused_as_a_whole(value: object) -> None:
    assert targets(value) == ["body"]


def test_thousands_of_problems_do_not_make_an_endless_answer() -> None:
    found = targets({**RUN, **{f"unknown{number}": 1 for number in range(5_000)}})

    assert len(found) == 51


def test_a_chunk_input_is_checked_like_a_request() -> None:
    assert ChunkInput.from_json(CHUNK).to_json() == CHUNK
    assert targets({**CHUNK, "chunk_id": -1, "end": CHUNK["start"]}, ChunkInput) == ["end", "chunk_id"]


def test_a_group_carries_its_request() -> None:
    group = {"request": RUN, "first_chunk": 3, "chunk_count": 4}

    assert ChunkGroup.from_json(group).to_json() == group


def test_a_group_with_gaps_names_its_chunks() -> None:
    request = RunInput.from_json(RUN)

    assert ChunkGroup.of(request, [3, 4, 5]).to_json() == {"request": RUN, "first_chunk": 3, "chunk_count": 3}
    gaps = ChunkGroup.of(request, [3, 5, 11])
    assert gaps.to_json() == {"request": RUN, "first_chunk": 3, "chunk_count": 3, "chunk_ids": [3, 5, 11]}
    assert ChunkGroup.from_json(gaps.to_json()).ids == [3, 5, 11]


def test_a_request_to_resume_needs_only_the_id_of_the_earlier_run() -> None:
    request = read_request({"resume_of": "earlier"})

    assert isinstance(request, ResumeRequest)
    assert request.to_json() == {"resume_of": "earlier"}


def test_any_other_request_is_that_of_a_new_run() -> None:
    assert isinstance(read_request(RUN), RunRequest)


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"resume_of": "a?b"}, "resume_of"),
        ({"resume_of": None}, "resume_of"),
        ({"resume_of": 7}, "resume_of"),
        ({"total_chunks": None}, "total_chunks"),
        ({"start": "yesterday"}, "start"),
        ({"max_parallel": 0}, "max_parallel"),
        ({"kept": {}}, "kept"),
    ],
)
def test_a_wrong_field_of_a_request_to_resume_is_named(change: dict[str, object], target: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_request({"resume_of": "earlier", **change})

    assert [problem.target for problem in caught.value.problems] == [target]
