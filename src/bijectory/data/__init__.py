"""Numbers from the world: toys with known truth, tables, splits and batches."""
