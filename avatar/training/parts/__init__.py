"""What trains beside the Gaussians themselves: one file or folder a part, all of them hooks that the trainer calls."""
