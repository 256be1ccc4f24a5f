"""Is gone before anybody can say a word to it."""

import sys

sys.exit("no token is set")
