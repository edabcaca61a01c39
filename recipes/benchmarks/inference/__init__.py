"""Compare inference and loading times of exported networks with Keras' own export and with PyTorch."""
