"""Whole files: written at once or not at all, locked while they are made, digested, and read within bounds."""
