"""The settings of an app that apply to every execution."""

from __future__ import annotations

import pytest

from durablehost.core.rules import Rules


@pytest.mark.parametrize(
    ("version", "default", "runs"),
    [
        (None, None, True),
        ("", None, True),
        ("1.0", None, False),
        ("1.0", "1.0", True),
        ("0.5", "1.0", True),
        ("2.0", "1.0", False),
        ("1.10", "1.9", False),
        ("1.0.0", "1.0", False),
        ("abc", "1.0", False),
        ("ABC", "abc", True),
    ],
)
def test_a_real_host_runs_instances_up_to_its_default_version(version: str, default: str | None, runs: bool) -> None:
    assert Rules(default_version=default).runs_in_azure(version) is runs
    assert Rules(default_version=default, matches_versions=False).runs_in_azure(version)
