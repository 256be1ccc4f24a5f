// Newline-delimited JSON-RPC over a TCP or unix socket, as a transport of either TypeScript SDK.
import net from 'node:net';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

export class SocketTransport {
  constructor(address) {
    this.address = address;
  }

  async start() {
    this.socket = net.connect(this.address);
    await new Promise((resolve, reject) => {
      this.socket.once('connect', resolve);
      this.socket.once('error', reject);
    });
    let pending = '';
    let delivered = Promise.resolve();
    this.socket.setEncoding('utf8');
    this.socket.on('data', (text) => {
      const lines = (pending + text).split('\n');
      pending = lines.pop();
      for (const line of lines) {
        // One message a turn: the SDKs handle a notification a turn later than an answer, and would lose it to one in the same read.
        if (line.trim()) delivered = delivered.then(nextTurn).then(() => this.onmessage?.(JSON.parse(line)));
      }
    });
    this.socket.on('error', (error) => this.onerror?.(error));
    this.socket.on('close', () => this.onclose?.());
  }

  async send(message) {
    await new Promise((resolve, reject) => {
      this.socket.write(`${JSON.stringify(message)}\n`, (error) => (error ? reject(error) : resolve()));
    });
  }

  async close() {
    this.socket?.end();
    this.socket?.destroy();
  }
}
