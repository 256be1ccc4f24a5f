// A client of the session eras (TypeScript SDK 1.x): one visit, as JSON on stdout.
//   node session_client.mjs '{"url":… | "command":… | "socket":…, "key":…, "folder":…, "able":…, "steps":…, "calls":…}'
// Where it goes (reach.mjs); a name of its own and the folder that the server watches; whether it declares that it can
// be asked; which of the steps of visit.mjs it takes, all by default; calls of any tools before them.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { reach } from './reach.mjs';
import { answering, Diary, visit } from './visit.mjs';

const wanted = JSON.parse(process.argv[2]);
const able = wanted.able ?? true;
const diary = new Diary();
const answers = answering(diary);
const client = new Client(
  { name: 'typescript-session', version: '1.0.0' },
  { capabilities: able ? { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} } : {} },
);
if (able) {
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => answers['elicitation/create'](params));
  client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => answers['sampling/createMessage'](params));
  client.setRequestHandler(ListRootsRequestSchema, () => answers['roots/list']());
}
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params: { level, logger, data } }) => {
  diary.logged.push({ level, logger, data });
});
client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => diary.change(params.uri));
client.setNotificationHandler(ToolListChangedNotificationSchema, () => diary.change('tools'));

const transport = reach(wanted, { StdioClientTransport, StreamableHTTPClientTransport });
const original = transport.setProtocolVersion?.bind(transport);
let revision;
// The 1.x client tells only its transport which revision was agreed on.
transport.setProtocolVersion = (version) => {
  revision = version;
  original?.(version);
};
await client.connect(transport);

const way = {
  client,
  diary,
  call: (params, options) => client.callTool(params, undefined, options),
  quiet: async (level, name) => {
    await client.setLoggingLevel(level);
    return client.callTool({ name, arguments: {} });
  },
  watch: async ({ uri }) => {
    if (uri) await client.subscribeResource({ uri });
    return async () => uri && client.unsubscribeResource({ uri });
  },
};
const seen = await visit(way, wanted);
process.stdout.write(`${JSON.stringify({ ...seen, revision })}\n`);
await client.close();
process.exit(0);
