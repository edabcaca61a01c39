"""Reports of results: figures, one HTML file, and TensorBoard runs."""

from bnzoo.reports.html import write_report
from bnzoo.reports.tensorboard import write_hparams

__all__ = ["write_hparams", "write_report"]
