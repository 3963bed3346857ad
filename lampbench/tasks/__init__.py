"""Tasks: one file each, which says how its questions read and how its answers are judged; nothing about methods."""

from lampbench.tasks.base import SETTINGS, SPLITS, Metric, Setting, Task
from lampbench.tasks.base import known_metric as metric
from lampbench.tasks.registry import TASKS, get_task

__all__ = ["SETTINGS", "SPLITS", "TASKS", "Metric", "Setting", "Task", "get_task", "metric"]
