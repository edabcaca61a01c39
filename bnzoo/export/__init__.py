"""A model in, a verified deployable artefact out."""

from bnzoo.export.saved_model import ExportReport, saved_model

__all__ = ["ExportReport", "saved_model"]
