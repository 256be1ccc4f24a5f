"""A server that speaks 2024-11-05 to 2025-11-25 only. Usage: python session_server.py stdio|http JOURNAL-FOLDER."""

from one_era import main

if __name__ == "__main__":
    main("session")
