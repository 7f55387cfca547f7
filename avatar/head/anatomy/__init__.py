"""Proportions and parts of heads: used to complete FLAME and ICT heads, and by the generator `tools/head`."""
