// The TypeScript SDK's 2.x client, one visit to the everything-server, as JSON on stdout.
//   node sdk_v2_visit.mjs '{"mode":"legacy"|"auto", "url":…} | {"mode":…, "command":[…], "env":{…}} | {"mode":…, "socket":{"host":…,"port":…}}'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { SocketTransport } from './socket_transport.mjs';
import { visit } from './visit.mjs';

const wanted = JSON.parse(process.argv[2]);

function transport() {
  if (wanted.url) return new StreamableHTTPClientTransport(new URL(wanted.url));
  if (wanted.socket) return new SocketTransport(wanted.socket);
  const [command, ...args] = wanted.command;
  return new StdioClientTransport({ command, args, env: { ...process.env, ...wanted.env }, stderr: 'ignore' });
}

const client = new Client(
  { name: 'typescript-2', version: '1.0.0' },
  {
    capabilities: { elicitation: { form: {} }, sampling: {}, roots: {} },
    versionNegotiation: { mode: wanted.mode },
  },
);
client.setRequestHandler('elicitation/create', async (request) => visit.elicited(request.params));
client.setRequestHandler('sampling/createMessage', async (request) => visit.sampled(request.params));
client.setRequestHandler('roots/list', async () => visit.roots());

await client.connect(transport());
const seen = await visit.everything(client, (params, options) => client.callTool(params, options));
seen.revision = client.getNegotiatedProtocolVersion();
await client.close();
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
