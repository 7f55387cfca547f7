"""What a motion shows: action units, emotions, gaze, gestures and events, as numbers and in words."""
