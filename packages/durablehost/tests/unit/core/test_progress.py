"""The progress in a custom status: what counts, and what does not."""

from __future__ import annotations

import pytest

from durablehost.core.progress import Progress, progress_of


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        (
            '{"chunks_done": 63, "chunks_total": 100, "chunks_failed": 2, "phase": "processing",'
            ' "estimated_end": "2026-01-05T10:00:00Z"}',
            Progress(done=63, total=100, failed=2, unit="chunks", phase="processing", end="2026-01-05T10:00:00Z"),
        ),
        ('{"done": 5, "total": 4, "failed": 9, "phase": 7}', Progress(done=4, total=4, failed=4)),
        ('{"done": 1, "total": 3, "failed": "some", "estimated_end": null}', Progress(done=1, total=3)),
    ],
)
def test_a_custom_status_that_counts_is_progress(status: str, progress: Progress) -> None:
    assert progress_of(status) == progress


@pytest.mark.parametrize(
    "status",
    [None, "", "not JSON", "17", "[]", '"half way"', "{", '{"done": 1}', '{"total": 2}', '{"done": "1", "total": 4}',
     '{"done": true, "total": 4}', '{"done": -1, "total": 4}', '{"done": 0, "total": 0}', '{"done": 1.5, "total": 4}',
     "[" * 50_000, '{"done": 1, "total": 2, "more": "%s"}' % ("x" * 70_000)],
)  # fmt: skip
def test_any_other_custom_status_is_no_progress(status: str | None) -> None:
    assert progress_of(status) is None


def test_long_texts_are_cut() -> None:
    progress = progress_of('{"done": 1, "total": 2, "phase": "%s"}' % ("x" * 500))
    assert progress is not None
    assert progress.phase == "x" * 60


def test_progress_is_said_in_words() -> None:
    assert str(Progress(done=63, total=100)) == "63 of 100"
    assert str(Progress(done=63, total=100, failed=2)) == "63 of 100, 2 failed"
