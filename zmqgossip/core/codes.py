"""What all messages share: the one table of all codes, the reasons and outcomes that stand in fields, and the types of fields."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta


class Code(IntEnum):
    """All message codes. The four of the base protocol keep their numbers; the others fill the family around them."""

    REGISTER = 1100
    REGISTERED = 1101
    LIST = 1102
    LISTED = 1103
    PRESENCE = 1104
    PRESENT = 1105
    UNKNOWN_PEER = 1106
    NOT_LISTED = 1107
    REPORT = 1108
    VERDICT = 1109
    LEAVE = 1110
    LEAVE_HEARD = 1111
    HELLO = 1120
    WELCOME = 1121
    PROBE = 1122
    REFUSED = 1123
    UNKNOWN_LINK = 1124
    BYE = 1125
    LINK_UP = 1126
    CHECK = 1127
    CHECKED = 1128
    SYNC = 1129
    BASELINE = 1130
    NOT_YET = 1131
    SYNCED = 1132
    GOSSIP = 1133
    DIGEST = 1134
    ASK = 1135
    PULL = 1136
    PULLED = 1137
    WALK = 1138
    WALKED = 1139
    DIRECT = 1140
    ANSWER = 1141
    SHUFFLE = 1142
    SHUFFLED = 1143
    REPLY = 1144
    DEATHS = 1145
    PROPAGATED = 1155
    WRONG_CLUSTER = 1190
    WRONG_VERSION = 1191


class Why(IntEnum):
    """Why a seed does not list, or a peer does not link."""

    FULL = 1
    NOT_ME = 2
    TOMBSTONE = 3
    UNREACHABLE = 4
    ADDRESS = 5
    EPOCH = 6
    BUSY = 7


class Evidence(IntEnum):
    """What a dead report rests on."""

    MISSES = 1
    REFUSED = 2
    REPLACED = 3  # somebody else answers at its address


class Status(IntEnum):
    """How a direct message ended at the peer that it was meant for."""

    HEARD = 1  # taken for delivery; nothing more was wanted
    ANSWERED = 2
    BUSY = 3  # as many are waiting there as it keeps
    FAILED = 4  # nobody takes it, or who took it failed
    NOT_ME = 5  # somebody else lives here


Nonce = Annotated[bytes, Meta(min_length=8, max_length=8)]
TEXT_MAX = 200
Text = Annotated[str, Meta(max_length=TEXT_MAX)]


class Body(msgspec.Struct, frozen=True, array_like=True):
    """The root of all bodies that travel between a DEALER and a ROUTER, or on a topic of one link."""

    code: ClassVar[Code]
