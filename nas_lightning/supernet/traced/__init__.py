"""Any convolutional network as a supernet of widths, read off its traced graph."""
