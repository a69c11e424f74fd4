"""Base densities for latents."""
