"""Texts to train language models on."""
