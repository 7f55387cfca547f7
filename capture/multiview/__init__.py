"""Captures by several cameras: one head, tracked jointly and stored as one capture."""
