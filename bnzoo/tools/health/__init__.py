"""What normalization does in a trained network, and what is wrong with it."""

from bnzoo.tools.health.checkup import health
from bnzoo.tools.health.findings import Finding
from bnzoo.tools.health.monitor import HealthMonitor
from bnzoo.tools.health.report import HealthReport, NormHealth

__all__ = ["Finding", "HealthMonitor", "HealthReport", "NormHealth", "health"]
