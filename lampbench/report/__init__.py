"""Records become tables: scores with intervals, costs, comparisons, the leaderboard."""
