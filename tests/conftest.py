"""What ends with the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import session_nursery


@pytest.fixture(scope="session", autouse=True)
def _nursery_ends() -> Iterator[None]:
    yield
    if session_nursery.cache_info().currsize:
        session_nursery().end()
