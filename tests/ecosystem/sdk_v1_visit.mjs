// The TypeScript SDK's 1.x client (session era only), one visit to the everything-server, as JSON on stdout. Arguments as sdk_v2_visit.mjs.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
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
  { name: 'typescript-1', version: '1.0.0' },
  { capabilities: { elicitation: { form: {} }, sampling: {}, roots: {} } },
);
client.setRequestHandler(ElicitRequestSchema, async (request) => visit.elicited(request.params));
client.setRequestHandler(CreateMessageRequestSchema, async (request) => visit.sampled(request.params));
client.setRequestHandler(ListRootsRequestSchema, async () => visit.roots());

const line = transport();
let revision;
line.setProtocolVersion = wrap(line.setProtocolVersion?.bind(line));
await client.connect(line);
const seen = await visit.everything(client, (params, options) => client.callTool(params, undefined, options));
seen.revision = revision;
await client.close();
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);

// The 1.x client tells only its transport which revision was agreed on.
function wrap(original) {
  return (version) => {
    revision = version;
    original?.(version);
  };
}
