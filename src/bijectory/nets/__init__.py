"""Networks. They know nothing of the maps they serve: what they return are numbers of a given shape."""
