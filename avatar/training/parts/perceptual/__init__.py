"""A perceptual loss by a network that the user gives."""
