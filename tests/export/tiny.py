"""The space of the tests here, and a candidate of it."""

from nas_lightning.space import SearchSpace

TINY = SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, 8)
CODE = "8-6-8-12-10-16-14"
