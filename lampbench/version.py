"""The version of lampbench."""

__version__ = "0.1.0"
