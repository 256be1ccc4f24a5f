// A client of 2025-11-25 that has tasks (TypeScript SDK 1.x): calls `greet` as one, and says as JSON what it saw.
//   node task_client.mjs URL
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const client = new Client({ name: 'typescript-tasks', version: '1.0.0' }, { capabilities: { elicitation: { form: {} } } });
const asked = [];
client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
  asked.push(params.message);
  return { action: 'accept', content: { name: 'Ada' } };
});
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
const { tools } = await client.listTools();
const support = tools[0].execution?.taskSupport;
const seen = [];
let text;
const call = { name: 'greet', arguments: {} };
for await (const message of client.experimental.tasks.callToolStream(call, CallToolResultSchema, { task: { ttl: 60000 } })) {
  seen.push(message.task?.status ?? message.type);
  if (message.type === 'error') throw message.error;
  if (message.type === 'result') text = message.result.content[0].text;
}
process.stdout.write(`${JSON.stringify({ support, seen, text, asked })}\n`);
await client.close();
process.exit(0);
