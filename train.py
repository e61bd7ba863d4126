"""Trains one supernet, ranks its candidates and says how far the ranking can be trusted.   python train.py [key=value ...]

Without arguments: the quickstart.   python train.py experiment=track1 data.root=...   python train.py --help
"""

from nas_lightning.commands.train import main

if __name__ == "__main__":
    main()
