"""The whole desk in processes of their own, on servers of their own, under load, while one thing after another breaks.
`make faults` plays every fault and writes docs/faults.md."""
