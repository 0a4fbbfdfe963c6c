"""Running a system: loops in threads, components in processes."""
