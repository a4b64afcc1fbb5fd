"""What is done with discussions: functions that take a session, whose owner commits."""
