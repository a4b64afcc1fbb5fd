"""Let many simulated players play many games in several processes, and check every one of them."""

from mantimon.simulation.plan import SimulationPlan, get_ids
from mantimon.simulation.players import Progress, oauth_prefix
from mantimon.simulation.report import SimulationReport
from mantimon.simulation.running import simulate

__all__ = ["Progress", "SimulationPlan", "SimulationReport", "get_ids", "oauth_prefix", "simulate"]
