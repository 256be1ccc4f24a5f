"""What a call brings, as a model takes it: texts, numbers, sounds, pictures."""
