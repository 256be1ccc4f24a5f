// What both servers share besides their words: the shapes of tools, the folder shared with the test (journal.py), the port.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { z } from 'zod';

const folder = process.argv[3];

export const shapes = {
  add: {
    description: 'Adds',
    inputSchema: z.object({ a: z.number(), b: z.number() }),
    outputSchema: z.object({ sum: z.number() }),
  },
  grown: { description: 'Was added later', inputSchema: z.object({}) },
  fail: { description: 'Answers with isError', inputSchema: z.object({}) },
  count: { description: 'Tells of each step', inputSchema: z.object({ to: z.number() }) },
  talk: { description: 'Logs at four levels', inputSchema: z.object({}) },
  wait: { description: 'Runs until it is cancelled', inputSchema: z.object({ key: z.string() }) },
  visit_first: { description: 'Works after a page was visited', inputSchema: z.object({ key: z.string() }) },
  ask_form: {
    description: 'Elicits by form',
    inputSchema: z.object({ wish: z.string().optional(), aside: z.boolean().optional() }),
  },
  ask_url: { description: 'Elicits by URL', inputSchema: z.object({}) },
  ask_model: { description: 'Samples', inputSchema: z.object({ about: z.string().optional() }) },
  ask_roots: { description: 'Lists roots', inputSchema: z.object({}) },
  ask_together: { description: 'Asks three things at once', inputSchema: z.object({}) },
  ask_rounds: { description: 'Asks again and again', inputSchema: z.object({ rounds: z.number().optional() }) },
};

export const text = (words) => ({ content: [{ type: 'text', text: words }] });

export const until = (signal) =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', resolve, { once: true });
  });

export function noted(what, key) {
  fs.appendFileSync(path.join(folder, 'journal'), `${JSON.stringify({ what, key })}\n`);
}

// The text of a file of the folder.
export function left(name, otherwise = '') {
  const file = path.join(folder, name);
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : otherwise;
}

// `told`: by the name of a file in the folder, what to do when it is written. Returns what stops the watch.
export function changes(told) {
  const watcher = fs.watch(folder, { persistent: false }, (_, name) => told[name]?.());
  return () => watcher.close();
}

// `serve`: a listener of node:http's requests. Tells its port in a line on stdout.
export function listen(serve) {
  const listener = http.createServer(serve);
  listener.listen(0, '127.0.0.1', () => process.stdout.write(`${listener.address().port}\n`));
}
