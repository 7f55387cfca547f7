"""Tests of coefficients of other face models, and of bridges that are learned from them."""
