"""The data of a task: official JSON, prepared once into tables, read as splits of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.lazy import lazily

if TYPE_CHECKING:
    from lampbench.data.dataset import Example, Split, TaskData, open_task
    from lampbench.data.item_table import ItemTable

__getattr__ = lazily(
    __name__,
    {
        "lampbench.data.dataset": "Example Split TaskData open_task",
        "lampbench.data.item_table": "ItemTable",
    },
)
