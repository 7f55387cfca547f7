"""The parts of driving: carrying a motion into an avatar's space, keeping it within reach, saying what was lost."""
