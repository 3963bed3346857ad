"""Folders: whether files can be put there is asked without leaving anything behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from lampbench.errors import RequestError
from lampbench.paths import require_writable


def test_a_folder_that_can_be_made_passes_and_is_not_made(tmp_path: Path) -> None:
    require_writable(tmp_path, "folder", "none")
    require_writable(tmp_path / "new" / "newer", "folder", "none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "link", "link/below", "x" * 5000])
def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(RequestError) as error:
        require_writable(tmp_path / name, "--results", "choose another folder")
    assert str(error.value).startswith(f"--results {tmp_path / name} cannot be written to (")
    assert str(error.value).endswith("): choose another folder")
