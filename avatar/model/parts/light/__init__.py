"""Light on an avatar: how its Gaussians respond to light, the light of its clip, and other lights."""
