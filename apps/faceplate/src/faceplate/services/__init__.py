"""What Faceplate does, as functions that take a session; the caller commits."""
