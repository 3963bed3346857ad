"""lampbench: on one frozen LLM, which way of personalizing works best, by how much, and is the difference real?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.lazy import lazily
from lampbench.version import __version__

if TYPE_CHECKING:
    from lampbench.method.registry import list_methods
    from lampbench.records.results_folder import load_records
    from lampbench.report.dataframes import predictions_frame, results_frame
    from lampbench.runner.run import run

__all__ = ["__version__", "list_methods", "load_records", "predictions_frame", "results_frame", "run"]

# Imported on first use: `import lampbench` costs nothing, and `lampbench --help` never loads torch.
__getattr__ = lazily(
    __name__,
    {
        "lampbench.method.registry": "list_methods",
        "lampbench.records.results_folder": "load_records",
        "lampbench.report.dataframes": "predictions_frame results_frame",
        "lampbench.runner.run": "run",
    },
)
