"""`zmqgossip seed`: the seeds of config.json in one process, or one of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from zmqgossip.cli.options import ConfigOption, LogDirOption, ProfileOption, QuietOption

if TYPE_CHECKING:
    from zmqgossip.cli.running import Stop
    from zmqgossip.core.types import Endpoint
    from zmqgossip.runtime.node import SeedsNode
    from zmqgossip.runtime.outlet import Item
    from zmqgossip.settings import SeedAddress, Settings


def seed(
    config: ConfigOption = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="HOST:PORT", help="Run just this one of the configured seeds.", show_default=False)
    ] = None,
    profile: ProfileOption = None,
    log_dir: LogDirOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run the seeds: register peers, hand out lists, verify who is dead. Ctrl-C ends it."""
    from zmqgossip.cli.running import Stop
    from zmqgossip.runtime import report
    from zmqgossip.runtime.node import SeedsNode
    from zmqgossip.settings import load, resolve

    settings = load(config, profile=profile, log_dir=log_dir)
    chosen = resolve(settings.seeds) if only is None else [_only(only, settings.seeds)]
    with Stop() as stop:
        seeds = SeedsNode([(endpoint.host, endpoint.port) for endpoint in chosen], settings.cluster, settings.protocol)
        stop.wake = seeds.wake
        try:
            log = settings.log_dir / "output_seed.txt"
            report.open_log(None if quiet else sys.stdout, log)
            _banner(settings, seeds, str(log), quiet)
            _run(seeds, stop)
        finally:
            seeds.close()


def _only(only: str, seeds: Sequence[SeedAddress]) -> Endpoint:
    """The seed of that address. Named as it is configured, it does not need the addresses of the others. Raises ConfigError."""
    from zmqgossip.core.errors import ConfigError
    from zmqgossip.core.types import Endpoint, parse_endpoint
    from zmqgossip.settings import resolve, resolve_host

    for seed in seeds:
        if str(seed) == only:
            return Endpoint(resolve_host(seed.host, "--only"), seed.port)
    choose = f"choose one of {', '.join(map(str, seeds))}"
    host, _, port = only.rpartition(":")
    try:
        in_figures = f"{resolve_host(host.removeprefix('[').removesuffix(']'), '--only')}:{port}" if host else only
        endpoint = parse_endpoint(in_figures)
    except ValueError as error:
        raise ConfigError(f"--only: {error}; {choose}") from None
    if endpoint not in resolve(seeds):
        raise ConfigError(f"--only: {endpoint} is none of the configured seeds; {choose}")
    return endpoint


def _banner(settings: Settings, seeds: SeedsNode, log: str, quiet: bool) -> None:
    from zmqgossip.cli.running import say, say_how_safe

    say(f"zmqgossip seed, cluster {settings.cluster!r}, profile {settings.profile}", quiet)
    say(f"listening on {' '.join(map(str, seeds.endpoints))}; log {log}", quiet)
    say_how_safe([endpoint.host for endpoint in seeds.endpoints], quiet)
    say("next: zmqgossip peer --port 5001", quiet)


def _run(seeds: SeedsNode, stop: Stop) -> None:
    from zmqgossip.cli.running import GOODBYE_S
    from zmqgossip.runtime import report

    while not stop.asked:
        _show(seeds.take())
    until = time.monotonic() + GOODBYE_S
    while (item := seeds.take(0)) is not None and time.monotonic() < until:
        _show(item)  # what had happened by then
    for endpoint, counters in seeds.counters().items():
        report.write(f"seed {endpoint} {report.summary(counters)}")


def _show(item: Item | None) -> None:
    from zmqgossip.runtime import report

    if item is not None:
        for line in report.lines(item):
            report.write(line)
