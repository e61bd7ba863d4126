"""Peak memory of a ranking or a training, each in a fresh process: ``python -m benchmarks.memory ranking 1000``."""

import resource
import subprocess
import sys


def peak_gib(what: str, images: int) -> float:
    """The largest resident size, in GiB, of a process that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.memory", what, str(images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    what, images = sys.argv[1], int(sys.argv[2])
    from nas_lightning.devices.process import configure_process

    configure_process()
    from benchmarks.ways import Ours

    ours = Ours()
    if what == "ranking":
        ours.ranking(0, 10, images)
    else:
        for step in range(3):
            ours.training_step(step)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


if __name__ == "__main__":
    main()
