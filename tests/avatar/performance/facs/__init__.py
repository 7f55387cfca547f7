"""Tests of action units, emotions and phrases."""
