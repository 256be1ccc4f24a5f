// Preloaded (node --require) into programs that listen on every interface of the machine: the fixture servers of the conformance suite and
// the HTTP servers of the reference set. They get loopback instead; nothing else of them is changed. Naming a host in listen() would
// make Node look it up and the port be known later than the suite asks for it, so the address is put in where the socket is bound.
// With TIDEGATE_TELL_PORT set, the bound port goes to stdout as a line of its own: port 0 is otherwise not reported.
'use strict';
const net = require('node:net');
const bind = net.Server.prototype._listen2;

if (typeof bind !== 'function') throw new Error('loopback_only: this Node has no net.Server.prototype._listen2');

net.Server.prototype._listen2 = function bindToLoopback(address, port, addressType, ...rest) {
  if (process.env.TIDEGATE_TELL_PORT) {
    this.once('listening', () => process.stdout.write(`${this.address().port}\n`));
  }
  if (!address && typeof port === 'number' && port >= 0) return bind.call(this, '127.0.0.1', port, 4, ...rest);
  return bind.call(this, address, port, addressType, ...rest);
};
