"""One file an experiment: what data, what model, which objective, and the number it should reach."""
