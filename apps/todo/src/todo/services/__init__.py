"""What is done with tasks: functions that take a session and a user, and never commit."""
