// Preloaded into the conformance suite (node --require): its fixture servers listen on every interface of the machine;
// here they get loopback instead. Nothing else of the suite is changed.
'use strict';
const net = require('node:net');
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function loopbackListen(...args) {
  const [first, second] = args;
  if (typeof first === 'number' && typeof second !== 'string') {
    args.splice(1, 0, '127.0.0.1');
  } else if (first && typeof first === 'object' && 'port' in first && !first.host) {
    args[0] = { ...first, host: '127.0.0.1' };
  }
  return listen.apply(this, args);
};
