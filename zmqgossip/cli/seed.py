"""`zmqgossip seed`: the seeds of config.json in one process, or one of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from zmqgossip.cli.options import ConfigOption, LogDirOption, ProfileOption, QuietOption

if TYPE_CHECKING:
    from zmqgossip.cli.running import Stop
    from zmqgossip.core.types import Endpoint
    from zmqgossip.runtime.node import SeedsNode
    from zmqgossip.settings import Settings


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
    endpoints = resolve(settings.seeds)
    chosen = [_only(only, endpoints)] if only is not None else list(endpoints)
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


def _only(only: str, endpoints: tuple[Endpoint, ...]) -> Endpoint:
    from zmqgossip.core.errors import ConfigError
    from zmqgossip.core.types import parse_endpoint

    shown = ", ".join(map(str, endpoints))
    try:
        endpoint = parse_endpoint(only.replace("localhost:", "127.0.0.1:"))
    except ValueError as error:
        raise ConfigError(f"--only: {error}; choose one of {shown}") from None
    if endpoint not in endpoints:
        raise ConfigError(f"--only: {endpoint} is none of the configured seeds; choose one of {shown}")
    return endpoint


def _banner(settings: Settings, seeds: SeedsNode, log: str, quiet: bool) -> None:
    from zmqgossip.cli.running import say, say_how_safe

    say(f"zmqgossip seed, cluster {settings.cluster!r}, profile {settings.profile}", quiet)
    say(f"listening on {' '.join(map(str, seeds.endpoints))}; log {log}", quiet)
    say_how_safe([endpoint.host for endpoint in seeds.endpoints], quiet)
    say("next: zmqgossip peer --port 5001", quiet)


def _run(seeds: SeedsNode, stop: Stop) -> None:
    from zmqgossip.runtime import report

    while not stop.asked:
        item = seeds.take()
        if item is not None:
            for line in report.lines(item):
                report.write(line)
    for endpoint, counters in seeds.counters().items():
        report.write(f"seed {endpoint} {report.summary(counters)}")
