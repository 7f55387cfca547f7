"""A face of an avatar in the frames of a film: dubbing, with the film's own pixels wherever they can be kept."""
