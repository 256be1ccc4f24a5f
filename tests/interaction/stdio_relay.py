"""The child process of a scripted server on stdio: passes its streams to the test over a unix socket.

    python stdio_relay.py SOCKET

Standard library only. Ends when either side does.
"""

import os
import selectors
import socket
import sys

sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
sock.connect(sys.argv[1])
selector = selectors.DefaultSelector()
selector.register(0, selectors.EVENT_READ)
selector.register(sock, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if key.fd == 0:
            data = os.read(0, 65536)
            if not data:
                sys.exit(0)
            sock.sendall(data)
        else:
            data = sock.recv(65536)
            if not data:
                print("the script hung up", file=sys.stderr, flush=True)
                sys.exit(3)
            while data:
                data = data[os.write(1, data) :]
