"""The relay's side in Python: which decisions it may repeat, and how a call that it began becomes an ordinary one."""
