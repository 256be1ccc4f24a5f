"""The service manager's contract: readiness, status, watchdog, and sockets that it opened.

Imported by the daemon only when the environment says that a service manager is there. No library of systemd's:
the protocols are a datagram and a handful of environment variables (sd_notify(3), sd_watchdog_enabled(3),
sd_listen_fds(3)).
"""
