"""The scenarios, by name. Each is data; `zmqgossip.sim.driver` runs them."""

from zmqgossip.sim.scenario import Scenario
from zmqgossip.sim.scenarios import dissemination

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in dissemination.SCENARIOS}
