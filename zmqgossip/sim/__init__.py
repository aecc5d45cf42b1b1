"""The simulator: the engines that ship, on a virtual clock and a virtual network, from one seed."""

from zmqgossip.sim import checkers
from zmqgossip.sim.body import Body, State
from zmqgossip.sim.paths import ANY, Weather
from zmqgossip.sim.settled import begin_periodic, settle
from zmqgossip.sim.world import Violation, World

__all__ = ["ANY", "Body", "State", "Violation", "Weather", "World", "begin_periodic", "checkers", "settle"]
