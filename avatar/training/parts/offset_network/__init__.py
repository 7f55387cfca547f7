"""Networks that predict blendshape offsets in a training; the avatar gets linear bases compiled from them."""
