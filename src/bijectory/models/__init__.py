"""Models: what a number from them means, and one paper a file, by family."""
