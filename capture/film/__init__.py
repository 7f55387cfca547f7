"""Filming a person before a camera: the coach leads, the frames that matter go into a capture folder that grows."""
