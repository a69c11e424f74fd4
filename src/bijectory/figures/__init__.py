"""Arrays to matplotlib figures: curves, densities, latents, mapped grids, and the frames of an animation."""
