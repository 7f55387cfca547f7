"""Coefficients of any other face model, and linear bridges from them that are learned from paired frames."""
