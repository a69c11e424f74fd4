"""Normalizing flows, one paper a file: each a function that assembles parts."""
