"""The methods: one file each.

In a wheel they lie in this folder. In a checkout (plain or editable) they stand in `methods/` beside the package, and
the line below lets `import lampbench.methods.NAME` find them there too.
"""

from pathlib import Path

_checkout = Path(__file__).resolve().parents[2] / "methods"
if _checkout.is_dir() and (_checkout.parent / "pyproject.toml").is_file():
    __path__.append(str(_checkout))
