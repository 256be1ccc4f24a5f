// A server of 2026-07-28 alone (TypeScript SDK 2.x): it refuses `initialize`, and answers a call with its questions.
//   node stateless_server.mjs stdio|http FOLDER       as session_server.mjs
import { randomBytes } from 'node:crypto';
import { getRequestListener } from '@hono/node-server';
import {
  completable,
  createMcpHandler,
  createRequestStateCodec,
  inputRequired,
  McpServer,
  ResourceNotFoundError,
} from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';
import { asking, conversations, levels, missing, watched } from './conversations.mjs';
import { changes, left, listen, noted, shapes, text, until } from './shore.mjs';

const codec = createRequestStateCodec({ key: randomBytes(32) });

function asked({ method, params }) {
  if (method === 'roots/list') return inputRequired.listRoots();
  if (method === 'sampling/createMessage') return inputRequired.createMessage(params);
  if (params.mode === 'url') return inputRequired.elicitUrl(params);
  return inputRequired.elicit(params);
}

// The rounds so far are the whole memory: the conversation is begun anew on each call and led to where it was.
async function hold(conversation, args, { mcpReq }, answer) {
  const rounds = [...(mcpReq.requestState()?.rounds ?? []), ...(mcpReq.inputResponses ? [mcpReq.inputResponses] : [])];
  const talk = conversation(args);
  let step = talk.next();
  for (const answers of rounds) step = talk.next(answers);
  if (step.done) return answer(step.value);
  return inputRequired({
    inputRequests: Object.fromEntries(Object.entries(step.value).map(([key, question]) => [key, asked(question)])),
    requestState: await codec.mint({ rounds }),
  });
}

function statelessServer() {
  const server = new McpServer(
    { name: 'typescript-stateless', version: '1.0.0' },
    {
      capabilities: { logging: {}, tools: { listChanged: true }, resources: { subscribe: true, listChanged: true } },
      instructions: 'Ask me.',
      requestState: { verify: codec.verify },
    },
  );
  for (const [name, conversation] of Object.entries(conversations)) {
    server.registerTool(name, shapes[name], (args, context) => hold(conversation, args, context, text));
  }
  server.registerTool('add', shapes.add, async ({ a, b }) => ({ ...text(`${a + b}`), structuredContent: { sum: a + b } }));
  server.registerTool('fail', shapes.fail, async () => ({ ...text('it broke'), isError: true }));
  server.registerTool('count', shapes.count, async ({ to }, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (let step = 1; step <= to; step += 1) {
      const params = { progressToken, progress: step, total: to, message: `step ${step}` };
      if (progressToken !== undefined) await mcpReq.notify({ method: 'notifications/progress', params });
    }
    return text(`counted to ${to}`);
  });
  server.registerTool('talk', shapes.talk, async (_, { mcpReq }) => {
    for (const level of levels) await mcpReq.log(level, { said: level }, 'shore');
    return text('talked');
  });
  server.registerTool('wait', shapes.wait, async ({ key }, { mcpReq }) => {
    noted('started', key);
    await until(mcpReq.signal);
    noted('cancelled', key);
    return text('nobody reads this');
  });
  const who = completable(z.string(), (value) => ['Ada', 'Alan', 'Grace'].filter((each) => each.startsWith(value)));
  server.registerPrompt('greet', { argsSchema: z.object({ who }) }, ({ who: named }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Greet ${named}.` } }],
  }));
  server.registerPrompt('greet_asked', {}, (context) =>
    hold(conversations.ask_form, {}, context, (words) => ({
      messages: [{ role: 'user', content: { type: 'text', text: words } }],
    })),
  );
  const plain = { mimeType: 'text/plain' };
  server.registerResource('watched', watched, plain, async () => ({
    contents: [{ uri: watched, ...plain, text: left('watched', 'untouched') }],
  }));
  server.registerResource('asking', asking, plain, (_, context) =>
    hold(conversations.ask_model, {}, context, (words) => ({ contents: [{ uri: asking, ...plain, text: words }] })),
  );
  server.registerResource('missing', missing, plain, async () => {
    throw new ResourceNotFoundError(missing);
  });
  const grown = new Set();
  const grow = () => {
    for (const name of left('tools').split(/\s+/).filter((each) => each && !grown.has(each))) {
      grown.add(name);
      server.registerTool(name, shapes.grown, async () => text(`I am ${name}`));
    }
  };
  grow();
  return { server, grow };
}

function serveHttp() {
  const handler = createMcpHandler(() => statelessServer().server, { legacy: 'reject' });
  changes({ watched: () => handler.notify.resourceUpdated(watched), tools: () => handler.notify.toolsChanged() });
  listen(getRequestListener((request) => handler.fetch(request)));
}

function connected() {
  const { server, grow } = statelessServer();
  server.server.onclose = changes({
    watched: () => server.server.sendResourceUpdated({ uri: watched }).catch(() => {}),
    tools: grow,
  });
  return server;
}

if (process.argv[2] === 'http') serveHttp();
else {
  serveStdio(connected, { legacy: 'reject' });
  process.stdin.on('end', () => process.exit(0));
}
