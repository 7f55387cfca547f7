"""Several avatars in one space: where they are, what they look at, the cameras, and their sound."""
