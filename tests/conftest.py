"""What ends with the whole session, and which tests stay together when several workers share them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import session_nursery


@pytest.fixture(scope="session", autouse=True)
def _nursery_ends() -> Iterator[None]:
    yield
    if session_nursery.cache_info().currsize:
        session_nursery().end()


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this hook too
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With two workers one has all that start processes, one test after the other: two networks at once would be each other's load.

    The tests that share a network of sockets stay together too. All others go to whoever has time.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        for kind in ("processes", "sockets"):
            if item.get_closest_marker(kind):
                item.add_marker(pytest.mark.xdist_group(kind))
                break
