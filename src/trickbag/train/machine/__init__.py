"""What a run has to know of the machine: device, processes, signals, memory, versions."""
