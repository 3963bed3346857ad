"""Proof, in seconds and on made-up data, that a method keeps the rules."""
