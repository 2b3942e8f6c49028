"""Predicting a whole space from some measured cells."""
