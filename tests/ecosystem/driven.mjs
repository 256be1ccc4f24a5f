// A client of the official TypeScript SDK that does as it is told, line by line. driven.py starts it and says how.
//   node driven.mjs '{"line":"v1"|"v2", "mode":"legacy"|"auto", "asks":true, "url":… | "command":[…], "env":{…}}'
// In:  {"id":1,"list":true} | {"id":2,"call":NAME,"arguments":{…}}
// Out: {"revision":…}, then {"id":1,"tools":[…]} | {"id":2,"result":{…}} | {"id":2,"error":{…}}
// Asked: {"question":1,"asked":"…"}, which is to be answered: {"question":1,"answer":"accept"|"decline"|"cancel"}
import readline from 'node:readline';

const wanted = JSON.parse(process.argv[2]);
const [base, http, stdio] = {
  v1: ['sdk/client/index.js', 'sdk/client/streamableHttp.js', 'sdk/client/stdio.js'],
  v2: ['client', 'client', 'client/stdio'],
}[wanted.line].map((path) => `@modelcontextprotocol/${path}`);
const { Client } = await import(base);
const { StreamableHTTPClientTransport } = await import(http);
const { StdioClientTransport } = await import(stdio);

const say = (words) => process.stdout.write(`${JSON.stringify(words)}\n`);
const questions = [];

async function elicited({ params }) {
  const answer = await new Promise((resolve) => {
    say({ question: questions.push(resolve) - 1, asked: params.message });
  });
  return answer === 'accept' ? { action: answer, content: {} } : { action: answer };
}

function transport() {
  if (wanted.url) return new StreamableHTTPClientTransport(new URL(wanted.url));
  const [command, ...args] = wanted.command;
  return new StdioClientTransport({ command, args, env: { ...process.env, ...wanted.env }, stderr: 'ignore' });
}

const client = new Client(
  { name: `typescript-${wanted.line}`, version: '1.0.0' },
  {
    capabilities: wanted.asks ? { elicitation: { form: {} } } : {},
    versionNegotiation: { mode: wanted.mode },
  },
);
if (wanted.asks && wanted.line === 'v1') {
  const { ElicitRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
  client.setRequestHandler(ElicitRequestSchema, async (request) => elicited(request));
} else if (wanted.asks) {
  client.setRequestHandler('elicitation/create', async (request) => elicited(request));
}

const line = transport();
let revision;
if (wanted.line === 'v1') {
  // The 1.x client tells only its transport which revision was agreed on.
  const original = line.setProtocolVersion?.bind(line);
  line.setProtocolVersion = (version) => {
    revision = version;
    original?.(version);
  };
}
await client.connect(line);
say({ revision: revision ?? client.getNegotiatedProtocolVersion() });

async function obey(order) {
  const { id } = order;
  try {
    if (order.list) {
      say({ id, tools: (await client.listTools()).tools.map(({ name }) => name) });
    } else {
      say({ id, result: await client.callTool({ name: order.call, arguments: order.arguments }) });
    }
  } catch (error) {
    say({ id, error: { code: typeof error.code === 'number' ? error.code : null, message: String(error.message) } });
  }
}

for await (const text of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(text);
  if (order.answer) questions[order.question](order.answer);
  else void obey(order);
}
await client.close();
process.exit(0);
