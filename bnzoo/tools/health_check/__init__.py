"""What normalization does in a trained network, and what is wrong with it."""

from bnzoo.tools.health_check.checkup import health
from bnzoo.tools.health_check.findings import Finding
from bnzoo.tools.health_check.monitor import HealthMonitor
from bnzoo.tools.health_check.report import HealthReport, NormHealth

__all__ = ["Finding", "HealthMonitor", "HealthReport", "NormHealth", "health"]
