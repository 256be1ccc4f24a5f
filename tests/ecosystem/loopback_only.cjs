// Preloaded into the conformance suite (node --require): its fixture servers listen on every interface of the machine;
// here they get loopback instead. Nothing else of the suite is changed. Naming a host in listen() would make Node look it up
// and the port be known later than the suite asks for it, so the address is put in where the socket is bound.
'use strict';
const net = require('node:net');
const bind = net.Server.prototype._listen2;

if (typeof bind !== 'function') throw new Error('loopback_only: this Node has no net.Server.prototype._listen2');

net.Server.prototype._listen2 = function bindToLoopback(address, port, addressType, ...rest) {
  if (!address && typeof port === 'number' && port >= 0) return bind.call(this, '127.0.0.1', port, 4, ...rest);
  return bind.call(this, address, port, addressType, ...rest);
};
