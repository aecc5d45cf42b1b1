"""The scenarios, by name. Each is data; `zmqgossip.sim.driver` runs them."""

from zmqgossip.sim.scenario import Scenario
from zmqgossip.sim.scenarios import dissemination, failures, growth, load

_ALL = (*dissemination.SCENARIOS, *failures.SCENARIOS, *load.SCENARIOS, *growth.SCENARIOS)
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in sorted(_ALL, key=lambda scenario: scenario.name)}
