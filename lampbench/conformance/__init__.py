"""Proof, in seconds and on made-up data, that methods and tasks keep the rules."""
