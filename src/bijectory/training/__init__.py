"""Time: updates, the loop, what is kept."""
