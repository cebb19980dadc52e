"""The parts of the command `bench`: a file each."""
