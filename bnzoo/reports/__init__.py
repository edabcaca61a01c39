"""Results in, pictures and one HTML file out."""

from bnzoo.reports.html import write_report

__all__ = ["write_report"]
