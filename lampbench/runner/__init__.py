"""A request becomes runs: checked, planned, fitted, asked and recorded."""
