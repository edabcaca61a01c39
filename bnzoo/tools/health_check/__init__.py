"""The health check: measurements of the norms and gradients of a trained network, and their findings."""

from bnzoo.tools.health_check.checkup import health
from bnzoo.tools.health_check.findings import Finding
from bnzoo.tools.health_check.monitor import HealthMonitor
from bnzoo.tools.health_check.report import HealthReport, NormHealth

__all__ = ["Finding", "HealthMonitor", "HealthReport", "NormHealth", "health"]
