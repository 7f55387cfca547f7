"""Agents of other projects that get a face: an adapter for each, over `SpeechStream`."""
