"""What the official files of LaMP have in common, whatever the task (github.com/LaMP-Benchmark/LaMP).

LaMP-6 (subjects of e-mails) is not here: its texts are a corpus that needs a licence (Avocado, LDC2015T03).
"""

from __future__ import annotations

import re
from typing import Any

from lampbench.tasks.base import OfficialFiles


def lamp_files(number: int, **more: Any) -> OfficialFiles:
    """The files of LaMP-`number`; `more` are other attributes of OfficialFiles.

    In the code of Persona-Plug the folders of the time setting are called `LaMP_time_<n>`. The ids of that setting
    count the tasks on from 7 (LaMP-1 is number 8 there), so outputs files may name a task by that number too.
    """

    def is_meant(name: str, setting: str) -> bool:
        form = r"LaMP[-_ ]?(?:time[-_ ]?)?(\d+)[-_ ]?[A-Za-z]*"
        match = re.fullmatch(form, name.strip(), re.IGNORECASE)
        allowed = {number, number + 7} if setting == "time" else {number}
        return match is not None and int(match[1]) in allowed

    return OfficialFiles(
        folder=f"LaMP_{number}",
        time_folder=f"LaMP_time_{number}",
        is_meant=is_meant,
        hosted=True,
        **more,
    )
