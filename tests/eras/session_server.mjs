// A server of the session eras (TypeScript SDK 1.x): it greets, keeps sessions, and asks its client while a call is open.
//   node session_server.mjs stdio|http FOLDER     http: a free port, told in a line on stdout
// What happened goes to FOLDER/journal; a write to FOLDER/watched and FOLDER/tools (names) is a change to tell of.
import { randomUUID } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { completable } from '@modelcontextprotocol/sdk/server/completable.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  isInitializeRequest,
  McpError,
  SetLevelRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
  UrlElicitationRequiredError,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { asking, conversations, levels, missing, watched } from './conversations.mjs';
import { changes, left, listen, noted, shapes, text, until } from './shore.mjs';

const visited = new Set();

function sessionServer() {
  const server = new McpServer(
    { name: 'typescript-session', version: '1.0.0' },
    { capabilities: { logging: {}, resources: { subscribe: true, listChanged: true } }, instructions: 'Ask me.' },
  );
  const subscribed = new Set();
  let level = 0;

  async function ask({ method, params }, relatedRequestId) {
    const options = { relatedRequestId, timeout: 20_000 };
    if (method === 'roots/list') return server.server.listRoots(undefined, options);
    if (method === 'sampling/createMessage') return server.server.createMessage(params, options);
    const whole = params.mode === 'url' ? { ...params, elicitationId: randomUUID() } : params;
    return server.server.elicitInput(whole, options);
  }

  // `aside`: questions are not marked as belonging to the call, as of servers that keep only their own object at hand.
  async function hold(conversation, args, { requestId }) {
    const talk = conversation(args);
    let step = talk.next();
    while (!step.done) {
      const keys = Object.keys(step.value);
      const related = args.aside ? undefined : requestId;
      const answers = await Promise.all(keys.map((key) => ask(step.value[key], related)));
      step = talk.next(Object.fromEntries(keys.map((key, index) => [key, answers[index]])));
    }
    return step.value;
  }

  for (const [name, conversation] of Object.entries(conversations)) {
    server.registerTool(name, shapes[name], async (args, extra) => text(await hold(conversation, args, extra)));
  }
  server.registerTool('add', shapes.add, async ({ a, b }) => ({ ...text(`${a + b}`), structuredContent: { sum: a + b } }));
  server.registerTool('fail', shapes.fail, async () => ({ ...text('it broke'), isError: true }));
  server.registerTool('count', shapes.count, async ({ to }, { _meta, sendNotification }) => {
    for (let step = 1; step <= to; step += 1) {
      const params = { progressToken: _meta?.progressToken, progress: step, total: to, message: `step ${step}` };
      if (_meta?.progressToken !== undefined) await sendNotification({ method: 'notifications/progress', params });
    }
    return text(`counted to ${to}`);
  });
  server.registerTool('talk', shapes.talk, async (_, { sendNotification }) => {
    for (const each of levels.filter((_each, index) => index >= level)) {
      const params = { level: each, logger: 'shore', data: { said: each } };
      await sendNotification({ method: 'notifications/message', params });
    }
    return text('talked');
  });
  server.registerTool('wait', shapes.wait, async ({ key }, { signal }) => {
    noted('started', key);
    await until(signal);
    noted('cancelled', key);
    return text('nobody reads this');
  });
  server.registerTool('visit_first', shapes.visit_first, async ({ key }) => {
    if (visited.has(key)) return text('visited');
    visited.add(key);
    const elicitationId = randomUUID();
    throw new UrlElicitationRequiredError([{ mode: 'url', message: 'First', url: 'https://example.test/first', elicitationId }]);
  });
  const who = completable(z.string(), (value) => ['Ada', 'Alan', 'Grace'].filter((each) => each.startsWith(value)));
  server.registerPrompt('greet', { argsSchema: { who } }, ({ who: named }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Greet ${named}.` } }],
  }));
  server.registerPrompt('greet_asked', {}, async (extra) => ({
    messages: [{ role: 'user', content: { type: 'text', text: await hold(conversations.ask_form, {}, extra) } }],
  }));
  const plain = { mimeType: 'text/plain' };
  server.registerResource('watched', watched, plain, async () => ({
    contents: [{ uri: watched, ...plain, text: left('watched', 'untouched') }],
  }));
  server.registerResource('asking', asking, plain, async (_, extra) => ({
    contents: [{ uri: asking, ...plain, text: await hold(conversations.ask_model, {}, extra) }],
  }));
  server.registerResource('missing', missing, plain, async () => {
    throw new McpError(-32002, 'Resource not found', { uri: missing });
  });
  server.server.setRequestHandler(SetLevelRequestSchema, async ({ params }) => {
    level = Math.max(0, levels.indexOf(params.level));
    return {};
  });
  server.server.setRequestHandler(SubscribeRequestSchema, async ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  server.server.setRequestHandler(UnsubscribeRequestSchema, async ({ params }) => {
    subscribed.delete(params.uri);
    return {};
  });
  const grown = new Set();
  const grow = () => {
    for (const name of left('tools').split(/\s+/).filter((each) => each && !grown.has(each))) {
      grown.add(name);
      server.registerTool(name, shapes.grown, async () => text(`I am ${name}`));
    }
  };
  grow();
  server.server.onclose = changes({
    watched: () => subscribed.has(watched) && server.server.sendResourceUpdated({ uri: watched }).catch(() => {}),
    tools: grow,
  });
  return server;
}

function serveHttp() {
  const sessions = new Map();
  listen(async (request, response) => {
    const known = sessions.get(request.headers['mcp-session-id']);
    if (known) return known.handleRequest(request, response);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    let body;
    try {
      body = JSON.parse(Buffer.concat(chunks).toString());
    } catch {
      // Answered below, as everything is that opens no session.
    }
    if (!isInitializeRequest(body)) {
      const status = request.headers['mcp-session-id'] ? 404 : 400;
      const error = { code: -32000, message: 'Bad Request: no session' };
      response.writeHead(status, { 'Content-Type': 'application/json' });
      return response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error }));
    }
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
      onsessionclosed: (id) => sessions.delete(id),
    });
    await sessionServer().connect(transport);
    return transport.handleRequest(request, response, body);
  });
}

if (process.argv[2] === 'http') serveHttp();
else {
  await sessionServer().connect(new StdioServerTransport());
  // The 1.x transport does not end with its stdin.
  process.stdin.on('end', () => process.exit(0));
}
