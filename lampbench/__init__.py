"""lampbench: on one frozen LLM, which way of personalizing works best, by how much, and is the difference real?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lampbench.frame import predictions_frame, results_frame
    from lampbench.registry import list_methods
    from lampbench.results_folder import load_records
    from lampbench.runner import run

__all__ = ["__version__", "list_methods", "load_records", "predictions_frame", "results_frame", "run"]

# Imported on first use: `import lampbench` costs nothing, and `lampbench --help` never loads torch.
_LAZY = {
    "list_methods": "lampbench.registry",
    "load_records": "lampbench.results_folder",
    "predictions_frame": "lampbench.frame",
    "results_frame": "lampbench.frame",
    "run": "lampbench.runner",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'lampbench' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
