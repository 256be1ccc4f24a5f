// What the clients of both eras do at one of the servers, and how they answer its questions: everything once, as plain values.
import fs from 'node:fs';
import { asking, missing, watched } from './conversations.mjs';

const LIMIT_MS = 8_000;

function plain(result) {
  const { content, structuredContent, isError } = result;
  return { content, structuredContent, isError: isError ?? false };
}

// A step that fails or hangs leaves its mark and does not hold up the rest.
async function attempt(step) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('no answer'), { code: 'late' })), LIMIT_MS);
  });
  try {
    return await Promise.race([step(), late]);
  } catch (error) {
    return { refused: { code: error.code, message: error.message, data: error.data } };
  } finally {
    clearTimeout(timer);
  }
}

// What a client has seen apart from answers, in the order it came; the visit takes it step by step.
export class Diary {
  asked = [];
  logged = [];
  changed = [];
  waiting = [];

  take(name) {
    return this[name].splice(0);
  }

  change(what) {
    this.changed.push(what);
    this.waiting.splice(0).forEach((wake) => wake());
  }

  // All that was told of until there was everything wanted, or time was up.
  async changes(wanted) {
    const up = AbortSignal.timeout(LIMIT_MS / 2);
    up.addEventListener('abort', () => this.waiting.splice(0).forEach((wake) => wake()));
    while (!up.aborted && !wanted.every((each) => this.changed.includes(each))) {
      await new Promise((wake) => this.waiting.push(wake));
    }
    return [...new Set(this.take('changed'))].sort();
  }
}

export function answering(diary) {
  const noted = (method, params, names) => {
    const entries = names.filter((name) => params[name] !== undefined).map((name) => [name, params[name]]);
    diary.asked.push({ method, ...Object.fromEntries(entries) });
  };
  return {
    'elicitation/create': async (params) => {
      noted('elicitation/create', params, ['mode', 'message', 'url', 'requestedSchema']);
      diary.asked.at(-1).has_id = typeof params.elicitationId === 'string' && params.elicitationId !== '';
      const wish = /\((decline|cancel)\)/.exec(params.message)?.[1];
      if (wish) return { action: wish };
      if (params.mode === 'url') return { action: 'accept' };
      const fields = Object.entries(params.requestedSchema.properties);
      const content = fields.map(([name, { type }]) => [name, type === 'string' ? `my ${name} for ${params.message}` : 3]);
      return { action: 'accept', content: Object.fromEntries(content) };
    },
    'sampling/createMessage': async (params) => {
      noted('sampling/createMessage', params, ['messages', 'systemPrompt', 'maxTokens', 'temperature']);
      const [{ content }] = params.messages;
      const block = Array.isArray(content) ? content[0] : content;
      const said = { type: 'text', text: `thought of '${block.text}'` };
      return { role: 'assistant', model: 'none', stopReason: 'endTurn', content: said };
    },
    'roots/list': async () => {
      diary.asked.push({ method: 'roots/list' });
      return { roots: [{ uri: 'file:///srv/one', name: 'one' }, { uri: 'file:///srv/%C3%A9', name: 'é' }] };
    },
  };
}

// `way`: {client, diary, call(params, options), quiet(level, tool), watch({tools, uri}) → stop()}: each SDK's own way.
export const steps = {
  tools: async ({ client }) => {
    const { tools } = await client.listTools();
    return tools.map(({ name, inputSchema, outputSchema }) => ({ name, inputSchema, outputSchema }));
  },
  prompts: ({ client }) => client.listPrompts().then(({ prompts }) => prompts),
  resources: ({ client }) => client.listResources().then(({ resources }) => resources),
  server: async ({ client }) => ({ name: client.getServerVersion()?.name, instructions: client.getInstructions() }),
  add: ({ call }) => call({ name: 'add', arguments: { a: 2, b: 3.5 } }).then(plain),
  fail: ({ call }) => call({ name: 'fail', arguments: {} }).then(plain),
  unknown_tool: ({ call }) => call({ name: 'no_such_tool', arguments: {} }).then(plain),
  missing: ({ client }) => client.readResource({ uri: missing }),
  unknown_resource: ({ client }) => client.readResource({ uri: 'eras://nowhere' }),
  plain_resource: ({ client }) => client.readResource({ uri: watched }).then(({ contents }) => contents),
  greet: ({ client }) => client.getPrompt({ name: 'greet', arguments: { who: 'Ada' } }).then(({ messages }) => messages),
  unknown_prompt: ({ client }) => client.getPrompt({ name: 'no_such_prompt' }),
  complete: async ({ client }) => {
    const ref = { type: 'ref/prompt', name: 'greet' };
    return (await client.complete({ ref, argument: { name: 'who', value: 'A' } })).completion;
  },
  ask_form: (way) => conversation(way, 'ask_form'),
  ask_form_decline: (way) => conversation(way, 'ask_form', { wish: 'decline' }),
  ask_form_cancel: (way) => conversation(way, 'ask_form', { wish: 'cancel' }),
  ask_form_aside: (way) => conversation(way, 'ask_form', { aside: true }),
  ask_url: (way) => conversation(way, 'ask_url'),
  ask_model: (way) => conversation(way, 'ask_model', { about: 'ebb & flow' }),
  ask_roots: (way) => conversation(way, 'ask_roots'),
  ask_together: (way) => conversation(way, 'ask_together'),
  ask_rounds: (way) => conversation(way, 'ask_rounds', { rounds: 3 }),
  ask_prompt: async ({ client, diary }) => {
    const { messages } = await client.getPrompt({ name: 'greet_asked' });
    return { messages, asked: diary.take('asked') };
  },
  ask_resource: async ({ client, diary }) => {
    const { contents } = await client.readResource({ uri: asking });
    return { contents, asked: diary.take('asked') };
  },
  visit_first: async ({ call, diary }, { key }) => {
    const answer = plain(await call({ name: 'visit_first', arguments: { key } }));
    return { answer, asked: diary.take('asked') };
  },
  parallel: async ({ call, diary }) => {
    const names = ['ask_form', 'ask_model', 'ask_roots', 'ask_together', 'ask_rounds'];
    const answers = await Promise.all(names.map((name) => call({ name, arguments: {} })));
    diary.take('asked');
    return answers.map(plain);
  },
  progress: async ({ call }) => {
    const seen = [];
    const counts = [3, 5].map(async (to) => {
      const mine = [];
      seen.push(mine);
      const onprogress = ({ progress, total, message }) => mine.push([progress, total, message]);
      return plain(await call({ name: 'count', arguments: { to } }, { onprogress }));
    });
    return { answers: await Promise.all(counts), seen };
  },
  logs: async ({ quiet, diary }) => {
    const talked = async (level) => {
      await quiet(level, 'talk');
      return diary.take('logged');
    };
    return { warning: await talked('warning'), debug: await talked('debug') };
  },
  cancel: async ({ call }, { key, folder }) => {
    const stop = new AbortController();
    const answer = attempt(() => call({ name: 'wait', arguments: { key } }, { signal: stop.signal }));
    await journal(folder, 'started', key);
    stop.abort('enough');
    await journal(folder, 'cancelled', key);
    return answer;
  },
  updates: async ({ client, watch, diary }, { key, folder }) => {
    const stop = await watch({ tools: true, uri: watched });
    diary.take('changed');
    write(folder, 'watched', key);
    const told = await diary.changes([watched]);
    const { contents } = await client.readResource({ uri: watched });
    await stop();
    return { told, now: contents[0].text };
  },
  grows: async ({ call, watch, diary }, { key, folder }) => {
    const stop = await watch({ tools: true });
    diary.take('changed');
    write(folder, 'tools', key);
    const told = await diary.changes(['tools']);
    const grown = await attempt(() => call({ name: key, arguments: {} }).then(({ content }) => content[0].text));
    await stop();
    return { told, grown };
  },
};

// Replaces a file of the server's folder in one step, once: what changes after the word that it is watched must be told.
function write(folder, name, text) {
  fs.writeFileSync(`${folder}/.${name}`, text);
  fs.renameSync(`${folder}/.${name}`, `${folder}/${name}`);
}

// Until a server has noted this. Its folder is told of changes by the system.
async function journal(folder, what, key) {
  const file = `${folder}/journal`;
  const noted = (line) => line && JSON.parse(line).what === what && JSON.parse(line).key === key;
  const there = () => fs.existsSync(file) && fs.readFileSync(file, 'utf8').split('\n').some(noted);
  const watcher = fs.watch(folder, { signal: AbortSignal.timeout(LIMIT_MS) });
  await new Promise((resolve, reject) => {
    const look = () => there() && resolve();
    watcher.on('change', look).on('error', reject).on('close', () => reject(new Error(`nobody noted ${what} ${key}`)));
    look();
  }).finally(() => watcher.close());
}

async function conversation({ call, diary }, name, args = {}) {
  diary.take('asked');
  const answer = plain(await call({ name, arguments: args }));
  return { answer, asked: diary.take('asked') };
}

// Tools of servers that are not of this folder's own kind, by name; each with all that came before its answer.
async function called({ call, quiet, diary }, { name, arguments: args, level }) {
  const progress = [];
  const onprogress = ({ progress: done, total, message }) => progress.push([done, total, message]);
  diary.take('asked');
  diary.take('logged');
  const answer = plain(await (level ? quiet(level, name) : call({ name, arguments: args ?? {} }, { onprogress })));
  return { answer, asked: diary.take('asked'), progress, logged: diary.take('logged') };
}

export async function visit(way, wanted) {
  const seen = {};
  for (const each of wanted.calls ?? []) seen[each.as ?? each.name] = await attempt(() => called(way, each));
  for (const name of wanted.steps ?? Object.keys(steps)) seen[name] = await attempt(() => steps[name](way, wanted));
  return seen;
}
