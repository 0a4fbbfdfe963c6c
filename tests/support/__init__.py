"""What tests share: shops, databases, processes, logs that lose, a clock of the machine."""
