"""The report's comparison and ablation, from data to tables."""

from minicube.study.folder import StudyFolder
from minicube.study.material import Source
from minicube.study.run import StudyListener, StudyRequest, run_study
from minicube.study.setting import Plan, Setting
from minicube.study.verify import verify_study

__all__ = [
    "Plan",
    "Setting",
    "Source",
    "StudyFolder",
    "StudyListener",
    "StudyRequest",
    "run_study",
    "verify_study",
]
