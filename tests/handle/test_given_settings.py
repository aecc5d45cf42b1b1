"""A Peer that is given settings which were read before."""

from __future__ import annotations

import pytest

from zmqgossip import ConfigError, Peer
from zmqgossip.settings import load

GIVEN = {"cluster": "test", "seeds": [{"host": "127.0.0.1", "port": 1}]}


def test_settings_that_were_read_before_stand_as_they_are() -> None:
    settings = load(None, given=GIVEN)
    Peer(config=settings, announce="127.0.0.1")
    with pytest.raises(ConfigError, match="profile is given beside settings"):
        Peer(config=settings, profile="lan")
