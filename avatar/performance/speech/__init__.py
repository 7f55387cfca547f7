"""Speech: sound to phones with times, and phones to the motion of a face."""
