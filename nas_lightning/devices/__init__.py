"""What a process runs on, and with whom: settings, signals, the processes of a launch, the pl.Trainer."""
