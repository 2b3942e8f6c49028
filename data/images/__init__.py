"""Image sets: the digits, CIFAR-10, a user's own."""
