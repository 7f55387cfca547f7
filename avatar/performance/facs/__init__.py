"""The Facial Action Coding System: action units and emotions to expression weights, and back."""
