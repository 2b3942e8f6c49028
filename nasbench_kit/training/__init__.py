"""Training one architecture: recipe, images, the loop, checkpoints."""
