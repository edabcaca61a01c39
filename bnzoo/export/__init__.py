"""A model in, a verified deployable artefact out."""

from bnzoo.export.saved_model import ExportReport, compare, saved_model

__all__ = ["ExportReport", "compare", "saved_model"]
