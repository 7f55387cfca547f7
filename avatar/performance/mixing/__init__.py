"""Motions in layers: regions of the face, lip closures, keyframes, presets and limits."""
