// A client of 2026-07-28 alone (TypeScript SDK 2.x): one visit, as JSON on stdout. Arguments as session_client.mjs, and
// "misuse": true for what goes wrong when retries are made by hand.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { misuse } from './misuse.mjs';
import { reach } from './reach.mjs';
import { answering, Diary, visit } from './visit.mjs';

const wanted = JSON.parse(process.argv[2]);
const able = wanted.able ?? true;
const diary = new Diary();
const client = new Client(
  { name: 'typescript-stateless', version: '1.0.0' },
  {
    capabilities: able ? { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} } : {},
    versionNegotiation: { mode: { pin: '2026-07-28' } },
  },
);
for (const [method, answer] of able ? Object.entries(answering(diary)) : []) {
  client.setRequestHandler(method, ({ params }) => answer(params));
}
client.setNotificationHandler('notifications/message', ({ params: { level, logger, data } }) => {
  diary.logged.push({ level, logger, data });
});
client.setNotificationHandler('notifications/resources/updated', ({ params }) => diary.change(params.uri));
client.setNotificationHandler('notifications/tools/list_changed', () => diary.change('tools'));
await client.connect(reach(wanted, { StdioClientTransport, StreamableHTTPClientTransport }));

const way = {
  client,
  diary,
  call: (params, options) => client.callTool(params, options),
  quiet: (level, name) =>
    client.callTool({ name, arguments: {}, _meta: { 'io.modelcontextprotocol/logLevel': level } }),
  watch: async ({ tools, uri }) => {
    const listening = await client.listen({ toolsListChanged: tools, resourceSubscriptions: uri && [uri] });
    return () => listening.close();
  },
};
const seen = await visit(way, wanted);
if (wanted.misuse) seen.misuse = await misuse(client);
const revision = client.getNegotiatedProtocolVersion();
process.stdout.write(`${JSON.stringify({ ...seen, revision })}\n`);
await client.close();
process.exit(0);
