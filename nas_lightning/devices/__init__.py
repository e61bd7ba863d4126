"""What a process runs on: its settings, signals, the processes of a launch, the pl.Trainer."""
