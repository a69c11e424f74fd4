"""Invertible maps: structures (coupling, autoregressive), elementwise maps, and constant ones."""
