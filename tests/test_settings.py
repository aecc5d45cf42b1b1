"""What a person writes into config.json, the environment and flags, and what they get: settings, or one line that helps."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from zmqgossip.core.config import DEFAULT, LAN
from zmqgossip.core.errors import ConfigError
from zmqgossip.core.types import Endpoint
from zmqgossip.settings import SeedAddress, Settings, load, resolve, resolve_host

SEED = {"host": "127.0.0.1", "port": 6001}
GOOD: dict[str, Any] = {"cluster": "demo", "seeds": [SEED]}
CONFIG = Path("config.json")


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(document: object, path: Path = CONFIG) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


def refusal(call: Callable[[], object]) -> ConfigError:
    """The error that `call` raises; whatever it is about, it must be one line that a terminal survives."""
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value).isprintable()
    return caught.value


def load_without_environment(**flags: Any) -> Settings:
    return load(None, env={}, **flags)


# ----------------------------------------------------------------------------------------------------- what is right


def test_the_smallest_file_leaves_everything_else_at_its_default() -> None:
    write(GOOD)
    settings = load_without_environment()
    assert settings.cluster == "demo"
    assert settings.seeds == (SeedAddress("127.0.0.1", 6001),)
    assert settings.protocol == DEFAULT
    assert (settings.profile, settings.host, settings.log_dir) == ("default", "127.0.0.1", Path("."))
    assert settings.protocol.advertise_networks == ()


def test_every_key_of_the_file_is_taken() -> None:
    write(
        {
            "cluster": "prices",
            "seeds": [{"host": "seed-1.example.org", "port": 1}, {"host": "::1", "port": 65535}],
            "profile": "lan",
            "host": "192.0.2.7",
            "log_dir": "logs",
            "advertise_networks": ["10.0.0.0/8", "2001:db8::/32"],
            "protocol": {"neighbours_dialled": 6, "reply_timeout_s": 0.25, "redial_max_s": 5},
            "seed": {"verify": False},
        }
    )
    settings = load_without_environment()
    assert [str(seed) for seed in settings.seeds] == ["seed-1.example.org:1", "[::1]:65535"]
    assert (settings.cluster, settings.profile, settings.host, settings.log_dir) == ("prices", "lan", "192.0.2.7", Path("logs"))
    assert settings.protocol.advertise_networks == ("10.0.0.0/8", "2001:db8::/32")
    assert (settings.protocol.neighbours_dialled, settings.protocol.reply_timeout_s, settings.protocol.redial_max_s) == (
        6,
        0.25,
        5,
    )
    assert settings.protocol.verify is False
    assert settings.protocol.presence_interval_s == LAN.presence_interval_s, "what is not overridden is the profile's"


def test_the_file_of_this_repository_has_four_seeds_on_loopback() -> None:
    settings = load(Path(__file__).parent.parent / "config.json", env={})
    assert settings.cluster == "demo"
    assert [str(seed) for seed in settings.seeds] == [f"127.0.0.1:{port}" for port in (6001, 6002, 6003, 6004)]


def test_a_byte_order_mark_at_the_start_is_no_mistake() -> None:
    CONFIG.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert load_without_environment().cluster == "demo"


def test_an_address_of_a_seed_is_brought_to_its_usual_form() -> None:
    write({**GOOD, "seeds": [{"host": "0:0:0:0:0:0:0:1", "port": 6001}]})
    assert load_without_environment().seeds == (SeedAddress("::1", 6001),)


# -------------------------------------------------------------------------------------------------------- the layers


def test_flag_stands_over_environment_over_file_over_default() -> None:
    env: dict[str, str] = {}
    write(GOOD)
    assert (load(None, env=env).profile, load(None, env=env).where["profile"]) == ("default", "default")
    write({**GOOD, "profile": "lan", "host": "192.0.2.1", "log_dir": "a"})
    assert (load(None, env=env).profile, load(None, env=env).where["profile"]) == ("lan", "config.json")
    env = {"ZMQGOSSIP_PROFILE": "default", "ZMQGOSSIP_HOST": "192.0.2.2", "ZMQGOSSIP_LOG_DIR": "b", "ZMQGOSSIP_CLUSTER": "other"}
    settings = load(None, env=env)
    assert (settings.profile, settings.host, settings.log_dir, settings.cluster) == ("default", "192.0.2.2", Path("b"), "other")
    assert {settings.where[key] for key in ("profile", "host", "log_dir", "cluster")} == {"environment"}
    settings = load(None, profile="lan", host="192.0.2.3", log_dir=Path("c"), env=env)
    assert (settings.profile, settings.host, settings.log_dir) == ("lan", "192.0.2.3", Path("c"))
    assert {settings.where[key] for key in ("profile", "host", "log_dir")} == {"flag"}


def test_the_file_is_found_by_flag_then_environment_then_in_the_current_directory() -> None:
    for name in ("config", "variable", "flag"):
        write({**GOOD, "cluster": name}, Path(f"{name}.json"))
    env = {"ZMQGOSSIP_CONFIG": "variable.json"}
    found = {
        "default": load(None, env={}),
        "environment": load(None, env=env),
        "flag": load(Path("flag.json"), env=env),
    }
    assert {where: settings.cluster for where, settings in found.items()} == {
        "default": "config",
        "environment": "variable",
        "flag": "flag",
    }
    assert all(settings.where["config"] == where for where, settings in found.items())
    assert found["flag"].where["seeds"] == "flag.json"


def test_an_empty_variable_counts_as_unset() -> None:
    write(GOOD)
    names = ("CONFIG", "PROFILE", "CLUSTER", "HOST", "LOG_DIR")
    assert load(None, env={f"ZMQGOSSIP_{name}": "" for name in names}) == load(None, env={})


def test_the_environment_can_give_the_cluster_that_the_file_leaves_out() -> None:
    write({"seeds": [SEED]})
    assert load(None, env={"ZMQGOSSIP_CLUSTER": "demo"}).cluster == "demo"


def test_each_knob_remembers_whether_the_file_or_the_profile_or_nobody_set_it() -> None:
    write({**GOOD, "profile": "lan", "protocol": {"misses_max": 3}})
    where = load_without_environment().where
    assert where["protocol.misses_max"] == "config.json", "also where the file repeats the default"
    assert where["protocol.liveness_interval_s"] == "profile lan"
    assert where["protocol.sample_max"] == where["seed.verify"] == "default"


# ----------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"", "config.json: not JSON at line 1, column 1: Expecting value; correct it there, or just before"),
        (
            b'{\n "a": 1,\n "b" 2}',
            "config.json: not JSON at line 3, column 6: Expecting ':' delimiter; correct it there, or just before",
        ),
        (b"\xff\xfe{", "config.json: not UTF-8 at byte 0; save it as UTF-8"),
        (b'{"a": NaN}', "config.json: NaN is not a number of JSON; write one in figures"),
        (b'{"a": -Infinity}', "config.json: -Infinity is not a number of JSON; write one in figures"),
        (b'{"a": 1e999}', "config.json: the number 1e999 is beyond all ranges or too long; write a shorter one"),
        (b'{"a": 1, "a": 2}', "config.json: key a stands twice in one object; remove one"),
    ],
)
def test_bytes_that_are_no_document_are_refused_with_their_place(raw: bytes, line: str) -> None:
    CONFIG.write_bytes(raw)
    assert str(refusal(load_without_environment)) == line


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b" " * (1 << 20) + b"{}", b"[]", b"3", b"null"])
def test_deep_long_and_shapeless_documents_are_refused_in_one_line(raw: bytes) -> None:
    CONFIG.write_bytes(raw)
    assert str(refusal(load_without_environment)).startswith("config.json")


EXAMPLE = '{"host": "127.0.0.1", "port": 6001}'


@pytest.mark.parametrize(
    ("change", "path", "problem"),
    [
        ({"seeds": []}, "seeds", f"seeds is empty; name at least one seed, as [{EXAMPLE}]"),
        ({"seeds": {}}, "seeds", f"seeds is an object; name at least one seed, as [{EXAMPLE}]"),
        ({"seeds": [SEED, 6002]}, "seeds[1]", f"seeds[1] is 6002; it must be an object, as {EXAMPLE}"),
        ({"seeds": [{"host": "a", "prot": 1}]}, "seeds[0].prot", "unknown key seeds[0].prot; did you mean port?"),
        ({"seeds": [{"host": "a"}]}, "seeds[0].port", f"seeds[0].port is missing; write the seed as {EXAMPLE}"),
        ({"seeds": [{"port": 1}]}, "seeds[0].host", f"seeds[0].host is missing; write the seed as {EXAMPLE}"),
        (
            {"seeds": [SEED, SEED]},
            "seeds[1]",
            "seeds[1] is 127.0.0.1:6001, the same as seeds[0]; remove one",
        ),
        ({"cluster": ""}, "cluster", 'cluster is ""; it must be the name of the network, in printable characters'),
        ({"cluster": "x" * 201}, "cluster", "cluster has more than 200 characters; choose a shorter name"),
        ({"clustr": "x"}, "clustr", "unknown key clustr; did you mean cluster?"),
        (
            {"xyzzy": 1},
            "xyzzy",
            "unknown key xyzzy; known here: cluster, seeds, profile, host, log_dir, advertise_networks, protocol, seed",
        ),
        ({"profile": "lna"}, "profile", 'profile is "lna", which is no profile; did you mean lan?'),
        ({"profile": 3}, "profile", "profile is 3, which is no profile; choose one of default, lan"),
        ({"host": "a:1"}, "host", 'host is "a:1"; it must be an address or a name, without a port, as "127.0.0.1"'),
        ({"log_dir": 3}, "log_dir", "log_dir is 3; it must be the path of a directory, in printable characters"),
        (
            {"advertise_networks": ["::/0", "10.0.0.1/8"]},
            "advertise_networks[1]",
            'advertise_networks[1] is "10.0.0.1/8"; it must be a network without host bits, as "10.0.0.0/8"',
        ),
        ({"protocol": []}, "protocol", "protocol is a list; it must be an object"),
        (
            {"protocol": {"reply_timout_s": 1}},
            "protocol.reply_timout_s",
            "unknown key protocol.reply_timout_s; did you mean reply_timeout_s?",
        ),
        (
            {"protocol": {"reply_timeout_s": 700}},
            "protocol.reply_timeout_s",
            "protocol.reply_timeout_s is 700; it must be from 0.05 to 600",
        ),
        ({"protocol": {"misses_max": 2.5}}, "protocol.misses_max", "protocol.misses_max is 2.5; it must be a whole number"),
        ({"protocol": {"misses_max": True}}, "protocol.misses_max", "protocol.misses_max is true; it must be a whole number"),
        (
            {"protocol": {"reply_timeout_s": "5"}},
            "protocol.reply_timeout_s",
            'protocol.reply_timeout_s is "5"; it must be a number',
        ),
        ({"protocol": {"verify": False}}, "protocol.verify", "unknown key protocol.verify; did you mean seed.verify?"),
        (
            {"protocol": {"advertise_networks": []}},
            "protocol.advertise_networks",
            "unknown key protocol.advertise_networks; did you mean advertise_networks, beside protocol?",
        ),
        ({"seed": {"misses_max": 2}}, "seed.misses_max", "unknown key seed.misses_max; did you mean protocol.misses_max?"),
        ({"seed": {"verify": 0}}, "seed.verify", "seed.verify is 0; it must be true or false"),
    ],
)
def test_a_wrong_value_is_named_with_its_path_and_what_to_write_instead(change: dict[str, Any], path: str, problem: str) -> None:
    write({**GOOD, **change})
    error = refusal(load_without_environment)
    assert str(error) == f"config.json: {problem}"
    assert error.path == path


def test_knobs_that_contradict_one_another_are_refused() -> None:
    write({**GOOD, "protocol": {"reply_timeout_s": 14}})
    error = refusal(load_without_environment)
    assert error.path == "protocol.reply_timeout_s"
    assert "protocol.reply_timeout_s must be shorter than liveness_interval_s" in str(error)


@pytest.mark.parametrize("key", ["cluster", "seeds"])
def test_a_file_without_cluster_or_seeds_is_refused(key: str) -> None:
    write({name: value for name, value in GOOD.items() if name != key})
    error = refusal(load_without_environment)
    assert str(error).startswith(f"config.json: {key} is missing; name ")
    assert error.path == key


@pytest.mark.parametrize("port", [0, -1, 65_536, 10**30, "6001", 6001.0, True, None, [6001]])
def test_a_port_of_a_seed_is_a_whole_number_from_1_to_65535(port: object) -> None:
    write({**GOOD, "seeds": [{"host": "a", "port": port}]})
    error = refusal(load_without_environment)
    assert error.path == "seeds[0].port"
    assert "it must be a number from 1 to 65535" in str(error)


@pytest.mark.parametrize("host", ["", 1, None, "a b", "a:1", "tcp://a", "-a", "fe80::1%eth0", "x" * 254, "\u00e9", "a\n"])
def test_a_host_of_a_seed_is_an_address_or_a_plain_name(host: object) -> None:
    write({**GOOD, "seeds": [{"host": host, "port": 1}]})
    assert refusal(load_without_environment).path == "seeds[0].host"


def test_names_that_differ_in_case_alone_are_one_seed() -> None:
    write({**GOOD, "seeds": [{"host": "Seed", "port": 1}, {"host": "seed", "port": 1}]})
    assert refusal(load_without_environment).path == "seeds[1]"


@pytest.mark.parametrize("text", ["\x1b[31mred", "two\nlines", "\ud800", "x" * 100_000])
def test_no_key_and_no_value_of_a_file_can_break_the_line(text: str) -> None:
    for change in ({text: 1}, {"cluster": text}, {"profile": text}, {"protocol": {text: 1}}, {"seeds": [{text: 1}]}):
        write({**GOOD, **change})
        assert len(str(refusal(load_without_environment))) < 300


def test_a_mistake_is_named_after_the_layer_it_comes_from() -> None:
    write(GOOD)
    assert str(refusal(lambda: load(None, env={"ZMQGOSSIP_PROFILE": "x"}))).startswith('ZMQGOSSIP_PROFILE is "x", which is no profile')
    assert str(refusal(lambda: load(None, env={"ZMQGOSSIP_HOST": "a b"}))).startswith('ZMQGOSSIP_HOST is "a b"; it must')
    assert str(refusal(lambda: load_without_environment(profile="x"))).startswith('--profile is "x", which is no profile')
    assert str(refusal(lambda: load_without_environment(host="a b"))).startswith('--host is "a b"; it must')


# ------------------------------------------------------------------------------------------------ files of other kinds


def test_a_missing_file_is_answered_with_what_to_write() -> None:
    line = str(refusal(load_without_environment))
    assert line.startswith("config.json: no such file; name one (--config, config=), or write ")
    example = line.partition("write ")[2].removesuffix(" into it")
    CONFIG.write_text(example, encoding="utf-8")
    assert load_without_environment().cluster == "demo", "the example that the message gives is itself good"


@pytest.mark.parametrize("name", [".", "config.json/below", "/dev/zero", "zero\0byte", "x" * 300, "two\nlines"])
def test_what_cannot_be_a_file_of_settings_is_refused_in_one_line(name: str) -> None:
    write(GOOD)
    assert refusal(lambda: load(Path(name), env={})).path == ""


def test_a_file_that_may_not_be_read_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "config.json")

    monkeypatch.setattr(Path, "open", denied)  # root, who often runs the tests, may read everything
    line = str(refusal(load_without_environment))
    assert line == "config.json: cannot be read: Permission denied; check it, or name another file with --config"


@given(raw=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_settings_or_one_line(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(raw)
    refusal(lambda: load(path, env={}))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from([*GOOD, "profile", "host", "log_dir", "advertise_networks", "protocol", "seed"]), value=JSON_VALUES)
def test_any_value_under_any_key_gives_settings_or_one_line(key: str, value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write({**GOOD, key: value}, path)
    try:
        load(path, env={})
    except ConfigError as error:
        assert str(error).isprintable()
        assert error.path.startswith(key) or "too long" in str(error)


# ----------------------------------------------------------------------------------------------------- names of hosts


def answer(*addresses: str) -> Callable[..., list[Any]]:
    """A resolver that gives these addresses, whatever it is asked."""

    def getaddrinfo(*_: object, **__: object) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in zip(families, addresses, strict=True)]

    return getaddrinfo


def test_addresses_in_figures_are_resolved_without_asking_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "getaddrinfo")
    seeds = (SeedAddress("127.0.0.1", 1), SeedAddress("::1", 2))
    assert resolve(seeds) == (Endpoint("127.0.0.1", 1), Endpoint("::1", 2))


def test_a_name_with_both_kinds_of_address_becomes_its_first_ipv4_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer("2001:db8::1", "192.0.2.1", "192.0.2.2"))
    assert resolve_host("seed") == "192.0.2.1"
    monkeypatch.setattr(socket, "getaddrinfo", answer("2001:db8::1"))
    assert resolve_host("seed") == "2001:db8::1"


@pytest.mark.parametrize("raised", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve_is_named_with_its_path(monkeypatch: pytest.MonkeyPatch, raised: Exception) -> None:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = refusal(lambda: resolve((SeedAddress("127.0.0.1", 1), SeedAddress("nowhere", 1))))
    assert str(error).startswith("seeds[1].host: cannot resolve 'nowhere': ")
    assert error.path == "seeds[1].host"


def test_two_names_of_one_seed_are_refused_because_it_would_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer("127.0.0.1"))
    error = refusal(lambda: resolve((SeedAddress("127.0.0.1", 1), SeedAddress("localhost", 1))))
    assert str(error) == "seeds[1].host: localhost:1 and 127.0.0.1:1 are both 127.0.0.1:1; remove one"
