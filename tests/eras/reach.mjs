// How a client program of these tests reaches its server: {"url":…} | {"command":[…], "env":{…}} | {"socket":{…}}.
import { SocketTransport } from '../ecosystem/socket_transport.mjs';

export function reach(wanted, { StdioClientTransport, StreamableHTTPClientTransport }) {
  if (wanted.url) return inTurn(new StreamableHTTPClientTransport(new URL(wanted.url)));
  if (wanted.socket) return new SocketTransport(wanted.socket);
  const [command, ...args] = wanted.command;
  return inTurn(new StdioClientTransport({ command, args, env: { ...process.env, ...wanted.env }, stderr: 'ignore' }));
}

// One message a turn: both SDKs handle a notification a turn later than an answer, and would lose it to one in the same read.
function inTurn(transport) {
  let deliver;
  let delivered = Promise.resolve();
  Object.defineProperty(transport, 'onmessage', {
    configurable: true,
    get: () =>
      deliver &&
      ((...message) => {
        delivered = delivered.then(() => new Promise(setImmediate)).then(() => deliver(...message));
      }),
    set: (handler) => {
      deliver = handler;
    },
  });
  return transport;
}
