"""When to try again: ever later, up to a limit, never in step with others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.routeros.backoff import Backoff


@given(st.floats(0.01, 10), st.floats(10, 1000), st.lists(st.floats(0, 0.999), min_size=1, max_size=50))
def test_the_backoff_grows_to_its_limit_and_stays_within_its_jitter(
    first: float, longest: float, chances: list[float]
) -> None:
    backoff, now = Backoff(first=first, longest=longest), 0.0
    for count, chance in enumerate(chances):
        wait = backoff.failed(now, chance)
        limit = min(longest, first * 2**count)
        assert wait is not None
        assert limit / 2 <= wait <= limit
        assert backoff.failed(now, chance) is None
        now = backoff.retry_at
    backoff.recovered()
    assert backoff.failures == 0
    assert backoff.retry_at < 0


def test_a_storm_of_failures_counts_as_one() -> None:
    backoff = Backoff(first=1, longest=60)
    assert backoff.failed(100.0, 0.5) == pytest.approx(0.75)
    assert [backoff.failed(100.0 + late, 0.5) for late in (0, 0.1, 0.74)] == [None] * 3
    assert backoff.failures == 1
    assert backoff.failed(100.75, 0.0) == pytest.approx(1.0)
    assert backoff.failures == 2


def test_after_a_thousand_failures_it_still_tries() -> None:
    backoff, now = Backoff(first=0.25, longest=30), 0.0
    for _ in range(1000):
        wait = backoff.failed(now, 0.999)
        assert wait is not None
        assert 0 < wait <= 30
        now = backoff.retry_at
