"""The web player: one HTML page with an avatar, its program and no other file."""
