"""The simulator: the engines that ship, on a virtual clock and a virtual network, from one seed."""

from zmqgossip.sim import checkers
from zmqgossip.sim.body import Body, State
from zmqgossip.sim.paths import ANY, Weather
from zmqgossip.sim.world import Violation, World

__all__ = ["ANY", "Body", "State", "Violation", "Weather", "World", "checkers"]
