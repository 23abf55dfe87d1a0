"""The setting READINGS: what it names, and that no credential in it is repeated."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared_code.location import LocationError, parse_location
from shared_code.windows import Window

START = datetime(2025, 6, 17, 10, tzinfo=timezone.utc)


def refusal(text: str) -> str:
    with pytest.raises(LocationError) as caught:
        parse_location(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "az://c-c/x.parquet?sv=2024-01-01&sig=secret",
        "az://c-c/*.parquet?sig=secret",
        "az://c-c/x.parquet#sig=secret",
        "az://user:secret@c-c/x.parquet",
        "az://secret@c-c/x.parquet",
        "https://a.blob.core.windows.net/c/x.parquet?sv=1&sig=secret",
        "https://user:secret@a.test/c",
        "abfss://user:secret@a.dfs.core.windows.net/x.parquet",
        "abfss://c-c@a.dfs.core.windows.net/x.parquet?sig=secret",
        "x.parquet?sv=1&sig=secret",
        "s3://key:secret@bucket/x?X-Amz-Signature=secret",
    ],
)
def test_a_credential_is_refused_and_never_repeated(text: str) -> None:
    assert "secret" not in refusal(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("abfss://raw@account.dfs.core.windows.net/2025/*.parquet", "az://raw/2025/*.parquet"),
        ("wasbs://raw@account.blob.core.windows.net/2025/", "az://raw/2025/"),
        ("https://account.blob.core.windows.net/raw/2025/*.parquet", "az://raw/2025/*.parquet"),
        ("https://account.dfs.core.windows.net/raw/x.parquet", "az://raw/x.parquet"),
        ("az://Readings/x.parquet", "az://readings/x.parquet"),
    ],
)
def test_a_form_of_other_programs_is_answered_with_what_to_write(text: str, written: str) -> None:
    assert f"write {written}" in refusal(text)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*.parquet", "a.parquet", True),
        ("*.parquet", "a/b.parquet", False),
        ("**/*.parquet", "a/b/c.parquet", True),
        ("**/*.parquet", "c.parquet", True),
        ("a?c.parquet", "abc.parquet", True),
        ("[ab].parquet", "b.parquet", True),
        ("[!ab].parquet", "b.parquet", False),
        ("[[]1].parquet", "[1].parquet", True),
        ("year=202?/*.csv", "year=2025/x.csv", True),
        ("x+(y).parquet", "x+(y).parquet", True),
        ("{yyyy}-{MM}/{yyyy}{MM}{dd}.parquet", "2025-06/20250617.parquet", True),
        ("{yyyy}-{MM}/{yyyy}{MM}{dd}.parquet", "2025-06/20250717.parquet", False),
    ],
)
def test_wildcards_match_as_documented(pattern: str, name: str, matches: bool) -> None:
    assert bool(parse_location(f"az://readings/{pattern}").matcher().fullmatch(name)) is matches


@pytest.mark.parametrize(
    ("hours", "fixed"), [(1, "raw/2025/06/17/10/"), (2, "raw/2025/06/17/"), (24, "raw/2025/06/"), (9_000, "raw/")]
)
def test_only_names_that_the_window_can_have_are_listed(hours: int, fixed: str) -> None:
    location = parse_location("az://readings/raw/{yyyy}/{MM}/{dd}/{HH}/*.parquet")
    window = Window(start=START, end=START + timedelta(hours=hours))
    assert location.fixed_part(window) == fixed


@pytest.mark.parametrize(
    ("name", "may"),
    [("2025/06", True), ("2025/05", False), ("2025/07", False), ("2024/12", False), ("2025/13", True)],
)
def test_a_month_covers_its_days(name: str, may: bool) -> None:
    location = parse_location("az://readings/{yyyy}/{MM}")
    match = location.matcher().fullmatch(name)
    assert match
    assert location.may_contain(match, Window(start=START, end=START + timedelta(hours=1))) is may


def test_december_ends_with_the_year() -> None:
    location = parse_location("{yyyy}{MM}")
    match = location.matcher().fullmatch("202512")
    assert match
    end = datetime(2026, 1, 1, tzinfo=timezone.utc)
    second = timedelta(seconds=1)
    assert location.may_contain(match, Window(start=end - second, end=end))
    assert not location.may_contain(match, Window(start=end, end=end + second))
