"""Proportions, parts and expressions of heads: used to complete FLAME and ICT heads and by the generator."""
