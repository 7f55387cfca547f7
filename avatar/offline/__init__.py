"""Offline rendering: cameras, passes and backgrounds of pictures that nobody waits for."""
