"""config.json, the environment and a command's flags -> Settings. The only reader of configuration.

The intuition: four layers lie upon one another, flag over environment over config.json over default. A mistake is named where it
stands ("config.json: seeds[0].port is ...", "ZMQGOSSIP_PROFILE is ..."), and `Settings.where` remembers each value's layer.
Whatever the bytes of the file are, what is wrong with them is one line: what, why, and what to do.

Left to others: the range of a knob (`core/config.py` knows it), the protocol itself, and what a node does with all this. Names of
hosts stay as written until `resolve` is called, because reading a file must not wait for a name server.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import math
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from zmqgossip.core.config import PROFILES, ProtocolConfig
from zmqgossip.core.errors import ConfigError
from zmqgossip.core.types import Endpoint, is_numeric_host

CONFIG_PATH = Path("config.json")
DEFAULT_HOST = "127.0.0.1"
CLUSTER_CHARS_MAX = 200
FILE_BYTES_MAX = 1 << 20  # thousands of seeds fit; a device or a mistaken path is not read to its end
NUMBER_CHARS_MAX = 32  # no setting needs more, and thousands of them are slow to read and to print
SHOWN_CHARS_MAX = 60  # how much of a wrong value a message repeats

DEFAULT, ENVIRONMENT, FLAG = "default", "environment", "flag"  # the layers in `Settings.where`, beside the name of the file

_TOP_KEYS = ("cluster", "seeds", "profile", "host", "log_dir", "advertise_networks", "protocol", "seed")
_EXAMPLE_SEED = '{"host": "127.0.0.1", "port": 6001}'
_EXAMPLE = f'{{"cluster": "demo", "seeds": [{_EXAMPLE_SEED}]}}'
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")


@dataclass(frozen=True, slots=True)
class SeedAddress:
    """Where a seed can be reached, as configured: `host` may be a name, `port` is from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a node or a command is told from outside, checked.

    Attributes:
        cluster: name of the network, 1 to 200 characters; nodes of another name are refused.
        seeds: at least one, no two alike, in the order of the file.
        protocol: the knobs of the profile with the file's own values on top, `advertise_networks` among them.
        profile: name of the profile, one of `core.config.PROFILES`.
        host: what a peer binds and announces if no flag says otherwise; figures or a name.
        log_dir: where `seed` and `peer` write their files; relative to the current directory.
        where: layer that each value came from, by its path (`host`, `protocol.reply_timeout_s`): `default`, `profile NAME`, the
            file's name, `environment` or `flag`. `config` tells how the file itself was found.
    """

    cluster: str
    seeds: tuple[SeedAddress, ...]
    protocol: ProtocolConfig
    profile: str
    host: str
    log_dir: Path
    where: Mapping[str, str]


def load(
    path: Path | None,
    *,
    profile: str | None = None,
    host: str | None = None,
    log_dir: Path | None = None,
    given: Mapping[str, Any] | None = None,
    env: Mapping[str, str] = os.environ,
) -> Settings:
    """Reads the settings. An argument that is not None is a flag; an empty variable of the environment counts as unset.

    Args:
        path: the file; None for `ZMQGOSSIP_CONFIG`, else `./config.json`.
        profile, host, log_dir: flags over `ZMQGOSSIP_PROFILE`, `ZMQGOSSIP_HOST` and `ZMQGOSSIP_LOG_DIR`.
        given: keys of the document that a program says itself, over file and environment. With cluster and seeds among them, and
            no path, no file is read.

    Raises:
        ConfigError: one line for a person; its `path` names the setting, and is empty if the whole file is meant.
    """
    given = given or {}
    env = {name: text for name, text in env.items() if name.removeprefix("ZMQGOSSIP_").lower() not in given}
    variable = env.get("ZMQGOSSIP_CONFIG")
    found = path or Path(variable or CONFIG_PATH)
    needs_file = path is not None or not {"cluster", "seeds"} <= given.keys()
    source = _printable(str(found)) if needs_file else "arguments"
    document = _Section(source, {**(_read(found, source) if needs_file else {}), **given})
    document.refuse_unknown(_TOP_KEYS)
    layers = _Layers(document, env)
    layers.where["config"] = FLAG if path else ENVIRONMENT if variable else DEFAULT
    layers.where["seeds"] = source
    cluster, at = layers.pick("cluster", "ZMQGOSSIP_CLUSTER", None, None)
    _check_cluster(cluster, at)
    name, at = layers.pick("profile", "ZMQGOSSIP_PROFILE", profile, "default")
    _check_profile(name, at)
    bind, at = layers.pick("host", "ZMQGOSSIP_HOST", host, DEFAULT_HOST)
    _check_host(bind, at)
    directory, at = layers.pick("log_dir", "ZMQGOSSIP_LOG_DIR", None if log_dir is None else str(log_dir), ".")
    _check_text(directory, at, "the path of a directory")
    networks, at = layers.pick("advertise_networks", None, None, [])
    return Settings(
        cluster=cluster,
        seeds=_seeds(document),
        protocol=replace(_protocol(document, name, layers.where), advertise_networks=_networks(networks, at)),
        profile=name,
        host=bind,
        log_dir=Path(directory),
        where=layers.where,
    )


def resolve(seeds: Iterable[SeedAddress]) -> tuple[Endpoint, ...]:
    """The seeds with numeric addresses, in their order. Asks the resolver for names, and may wait for it.

    Raises:
        ConfigError: a name does not resolve, or two seeds turn out to be one; its `path` is `seeds[i].host`.
    """
    found: dict[Endpoint, SeedAddress] = {}
    for index, seed in enumerate(seeds):
        at = f"seeds[{index}].host"
        endpoint = Endpoint(resolve_host(seed.host, at), seed.port)
        if endpoint in found:
            raise ConfigError(f"{at}: {seed} and {found[endpoint]} are both {endpoint}; remove one", at)
        found[endpoint] = seed
    return tuple(found)


def resolve_host(host: str, path: str = "host") -> str:
    """`host` in figures; IPv4 is preferred for a name that has both. Raises ConfigError, which names `path`, if there is none."""
    if is_numeric_host(host):
        return str(ipaddress.ip_address(host))
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "not a name of a host"
        problem = f"cannot resolve {host!r}: {why}; check the spelling, or write the address in figures"
        raise ConfigError(f"{path}: {problem}", path) from None
    best = min(answers, key=lambda answer: answer[0] != socket.AF_INET)  # the first of its kind
    return str(best[4][0])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands: as a message names it, and as `ConfigError.path`."""

    label: str
    path: str

    def refuse(self, problem: str) -> NoReturn:
        raise ConfigError(f"{self.label} {problem}", self.path)

    def item(self, index: int) -> _Place:
        return _Place(f"{self.label}[{index}]", f"{self.path}[{index}]")


class _Section:
    """An object of the document, at `path` ("" for the whole)."""

    def __init__(self, source: str, values: dict[str, Any], path: str = "") -> None:
        self.source = source
        self.values = values
        self.path = path

    def place(self, key: str) -> _Place:
        path = f"{self.path}.{key}" if self.path else key
        return _Place(f"{self.source}: {path}", path)

    def refuse_unknown(self, known: Sequence[str], elsewhere: Mapping[str, str] | None = None) -> None:
        """Refuses the first key that is not known. `elsewhere`: keys that are right, but in another place."""
        for key in self.values:
            if key in known:
                continue
            path = self.place(_shown(key)).path
            meant = (elsewhere or {}).get(key) or next(iter(difflib.get_close_matches(key, known, n=1)), None)
            others = f"known here: {', '.join(known)}" if len(known) <= len(_TOP_KEYS) else "remove it"
            hint = f"did you mean {meant}?" if meant else others
            raise ConfigError(f"{self.source}: unknown key {path}; {hint}", path)

    def section(self, key: str) -> _Section:
        """The object under `key`, empty if there is none."""
        place = self.place(key)
        values = self.values.get(key, {})
        if not isinstance(values, dict):
            place.refuse(f"is {_value(values)}; it must be an object")
        return _Section(self.source, values, place.path)


class _Layers:
    """The flags, the environment and the document under one question: which value counts, and where does it stand?"""

    def __init__(self, document: _Section, env: Mapping[str, str]) -> None:
        self.where: dict[str, str] = {}
        self._document = document
        self._env = env

    def pick(self, key: str, variable: str | None, flag: str | None, default: Any) -> tuple[Any, _Place]:
        in_env = self._env.get(variable) if variable else None
        if flag is not None:
            self.where[key] = FLAG
            return flag, _Place(f"--{key.replace('_', '-')}", key)
        if in_env:
            self.where[key] = ENVIRONMENT
            return in_env, _Place(str(variable), key)
        stands = key in self._document.values
        self.where[key] = self._document.source if stands else DEFAULT
        return self._document.values[key] if stands else default, self._document.place(key)


def _read(path: Path, source: str) -> dict[str, Any]:
    """The document in the file. Any bytes give a dict or a ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)  # one more than it may have, to tell
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such file; name one (--config, config=), or write {_EXAMPLE} into it") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ConfigError(f"{source}: cannot be read: {why}; check it, or name another file with --config") from None
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigError(f"{source} has more than {FILE_BYTES_MAX} bytes; name a file of settings with --config")
    return _parse(raw, source)


def _parse(raw: bytes, source: str) -> dict[str, Any]:
    try:
        document = _DECODER.decode(raw.decode("utf-8-sig"))  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise ConfigError(f"{source}: not JSON at {at}; correct it there, or just before") from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply; it must look like {_EXAMPLE}") from None
    except _Refused as error:
        raise ConfigError(f"{source}: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: holds {_value(document)}; it must be an object, as {_EXAMPLE}")
    return document


class _Refused(Exception):
    """What Python's json would take and JSON does not, or not so long."""


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise _Refused(f"key {_shown(key)} stands twice in one object; remove one")
        document[key] = value
    return document


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not a number of JSON; write one in figures")


def _number(text: str) -> float:
    if len(text) > NUMBER_CHARS_MAX or not math.isfinite(float(text)):
        raise _Refused(f"the number {_shown(text)} is beyond all ranges or too long; write a shorter one")
    return int(text) if text.lstrip("-").isdigit() else float(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_no_twins, parse_constant=_no_constant, parse_float=_number, parse_int=_number)


def _seeds(document: _Section) -> tuple[SeedAddress, ...]:
    place = document.place("seeds")
    hint = f"name at least one seed, as [{_EXAMPLE_SEED}]"
    values = document.values.get("seeds", [])
    if not isinstance(values, list):
        place.refuse(f"is {_value(values)}; {hint}")
    if not values:
        place.refuse(f"{'is empty' if 'seeds' in document.values else 'is missing'}; {hint}")
    first_at: dict[tuple[str, int], int] = {}
    seeds: list[SeedAddress] = []
    for index, value in enumerate(values):
        seed = _seed(document.source, place.item(index), value)
        first = first_at.setdefault((seed.host.lower(), seed.port), index)
        if first != index:
            place.item(index).refuse(f"is {seed}, the same as seeds[{first}]; remove one")
        seeds.append(seed)
    return tuple(seeds)


def _seed(source: str, place: _Place, value: object) -> SeedAddress:
    if not isinstance(value, dict):
        place.refuse(f"is {_value(value)}; it must be an object, as {_EXAMPLE_SEED}")
    section = _Section(source, value, place.path)
    section.refuse_unknown(("host", "port"))
    for key in ("host", "port"):
        if key not in value:
            section.place(key).refuse(f"is missing; write the seed as {_EXAMPLE_SEED}")
    host, port = value["host"], value["port"]
    _check_host(host, section.place("host"))
    if type(port) is not int or not 1 <= port <= 65535:
        section.place("port").refuse(f"is {_value(port)}; it must be a number from 1 to 65535")
    return SeedAddress(str(ipaddress.ip_address(host)) if is_numeric_host(host) else host, port)


def _protocol(document: _Section, profile: str, where: dict[str, str]) -> ProtocolConfig:
    """The profile's knobs, with the file's own on top. Fills in `where` for each knob."""
    base = PROFILES[profile]
    knobs, at_seed = document.section("protocol"), document.section("seed")
    names = tuple(knob.name for knob in fields(ProtocolConfig) if knob.name not in ("verify", "advertise_networks"))
    knobs.refuse_unknown(names, {"verify": "seed.verify", "advertise_networks": "advertise_networks, beside protocol"})
    at_seed.refuse_unknown(("verify",), {name: f"protocol.{name}" for name in names})
    for section, name in [*((knobs, name) for name in names), (at_seed, "verify")]:
        place = section.place(name)
        of_profile = getattr(base, name) != getattr(PROFILES["default"], name)
        where[place.path] = f"profile {profile}" if of_profile else DEFAULT
        if name in section.values:
            where[place.path] = document.source
            _check_type(section.values[name], type(getattr(base, name)), place)
    try:
        return replace(base, **knobs.values, **at_seed.values)
    except ConfigError as error:
        raise ConfigError(f"{document.source}: protocol.{error}", f"protocol.{error.path}") from None


def _check_type(value: object, wanted: type, place: _Place) -> None:
    """A knob has the type of its default; where a fraction may stand, so may a whole number. ProtocolConfig checks the range."""
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        names = {bool: "true or false", int: "a whole number", float: "a number"}
        place.refuse(f"is {_value(value)}; it must be {names[wanted]}")


def _networks(value: object, place: _Place) -> tuple[str, ...]:
    if not isinstance(value, list):
        place.refuse(f'is {_value(value)}; it must be a list of networks, as ["10.0.0.0/8"]')
    networks: list[str] = []
    for index, text in enumerate(value):
        try:
            networks.append(str(ipaddress.ip_network(text if isinstance(text, str) else "")))
        except ValueError:
            place.item(index).refuse(f'is {_value(text)}; it must be a network without host bits, as "10.0.0.0/8"')
    return tuple(networks)


def _check_cluster(value: object, place: _Place) -> None:
    if value is None:
        place.refuse('is missing; name the network, as "cluster": "demo", the same at all its nodes')
    if len(_check_text(value, place, "the name of the network")) > CLUSTER_CHARS_MAX:
        place.refuse(f"has more than {CLUSTER_CHARS_MAX} characters; choose a shorter name")


def _check_profile(value: object, place: _Place) -> None:
    if not isinstance(value, str) or value not in PROFILES:
        close = difflib.get_close_matches(value, PROFILES, n=1) if isinstance(value, str) else []
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(PROFILES)}"
        place.refuse(f"is {_value(value)}, which is no profile; {hint}")


def _check_host(value: object, place: _Place) -> None:
    # No scope ("fe80::1%eth0"): it is the name of an interface on one machine, and an address travels to others.
    if not isinstance(value, str) or "%" in value or not (is_numeric_host(value) or _HOST_NAME.fullmatch(value)):
        place.refuse(f'is {_value(value)}; it must be an address or a name, without a port, as "127.0.0.1"')


def _check_text(value: object, place: _Place, meaning: str) -> str:
    # Printable: it stands in logs and on screens, where a control character would do something.
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        place.refuse(f"is {_value(value)}; it must be {meaning}, in printable characters")
    return value


def _value(value: object) -> str:
    """A wrong value as JSON would write it, short and on one line."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return _shown(json.dumps(value, ensure_ascii=False))


def _shown(text: str) -> str:
    clean = _printable(text)
    return clean if len(clean) <= SHOWN_CHARS_MAX else clean[: SHOWN_CHARS_MAX - 3] + "..."


def _printable(text: str) -> str:
    """`text` without what would break a line or do something to a terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]
