"""Networks that predict blendshape offsets during a training; the avatar gets linear bases compiled from them."""
