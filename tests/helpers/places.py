"""Where things lie in a checkout."""

from pathlib import Path

HELPERS = Path(__file__).resolve().parent
CHECKOUT = HELPERS.parents[1]
GOLDEN = CHECKOUT / "tests" / "golden"
