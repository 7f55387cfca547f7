"""Refinement: poses and expressions of tracked frames, fitted to the images with an avatar."""
