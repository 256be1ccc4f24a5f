"""A server that speaks 2026-07-28 only. Usage: python stateless_server.py stdio|http JOURNAL-FOLDER."""

from one_era import main

if __name__ == "__main__":
    main("stateless")
