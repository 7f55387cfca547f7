"""Poses and expressions of tracked frames, refined against the avatar that is made from them."""
