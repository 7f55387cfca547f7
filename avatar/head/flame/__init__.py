"""The user's own FLAME file."""
