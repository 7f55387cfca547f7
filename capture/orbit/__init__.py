"""A walk with one camera around a person who sits still: poses of the camera."""
