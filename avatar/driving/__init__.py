"""Driving: retarget a motion to an avatar, soft-clamp it to the trained range, and report what could not be shown."""
