"""What a run leaves on disk: its record, its predictions, what it cost and what it ran on."""
