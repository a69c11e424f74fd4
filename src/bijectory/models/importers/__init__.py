"""Flows of other libraries, rebuilt from our own parts with equal densities; the libraries themselves are never imported."""
