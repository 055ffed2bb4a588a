"""What any worker does, in a thread or in a process."""
