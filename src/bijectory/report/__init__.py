"""Pages made from run directories: what a run left is read, drawn and explained; no model is ever loaded."""
