"""Objectives: from a model to the updates that train it."""
