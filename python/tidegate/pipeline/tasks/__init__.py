"""Tasks: whose each is, how calls become one, and requests about them."""
