"""The main job: from molecules or labels to verified artifacts, in one resumable run."""

from mlff_distiller.distill.config import DataConfig, DistillConfig
from mlff_distiller.distill.run import StudentReport, distill

__all__ = ["DataConfig", "DistillConfig", "StudentReport", "distill"]
