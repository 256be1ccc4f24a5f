// What the tools of both servers ask and answer, in words that know no era. A conversation is a generator: it yields
// rounds, each a {key: question}, gets {key: answer} back, and returns its last words. session_server.mjs sends the
// questions while the call is open; stateless_server.mjs hands them back and is called again. Both end in the same words.

const named = (message) => ({
  method: 'elicitation/create',
  params: {
    mode: 'form',
    message,
    requestedSchema: {
      type: 'object',
      properties: { name: { type: 'string', title: 'Name' }, cups: { type: 'integer', default: 2, minimum: 0 } },
      required: ['name'],
    },
  },
});

const page = (path) => ({
  method: 'elicitation/create',
  params: { mode: 'url', message: `Please visit ${path}`, url: `https://example.test/${path}?é=1` },
});

const thought = (text) => ({
  method: 'sampling/createMessage',
  params: {
    messages: [{ role: 'user', content: { type: 'text', text } }],
    systemPrompt: 'Be brief.',
    maxTokens: 40,
    temperature: 0.5,
  },
});

const places = () => ({ method: 'roots/list' });

const filled = ({ action, content }) => (action === 'accept' ? `${content.name}/${content.cups}` : action);
const visited = ({ action, content }) => `${action} ${content === undefined ? 'without' : 'with'} content`;
const sampled = ({ role, model, content, stopReason }) => `${role} ${model} ${content.text} ${stopReason}`;
const listed = ({ roots }) => roots.map(({ uri, name }) => `${uri}=${name}`).join(' ');

function* askForm({ wish = 'accept' }) {
  const { who } = yield { who: named(`Who? (${wish})`) };
  return `form: ${filled(who)}`;
}

function* askUrl() {
  const { visit } = yield { visit: page('consent') };
  return `url: ${visited(visit)}`;
}

function* askModel({ about = 'tides' }) {
  const { model } = yield { model: thought(`What about ${about}?`) };
  return `model: ${sampled(model)}`;
}

function* askRoots() {
  const { roots } = yield { roots: places() };
  return `roots: ${listed(roots)}`;
}

function* askTogether() {
  const { who, model, roots } = yield { who: named('Who? (together)'), model: thought('Together?'), roots: places() };
  return `together: ${filled(who)} | ${sampled(model)} | ${listed(roots)}`;
}

function* askRounds({ rounds = 3 }) {
  const said = [];
  for (let round = 1; round <= rounds; round += 1) {
    const { who } = yield { who: named(`Round ${round} after [${said.join(', ')}]`) };
    said.push(filled(who));
  }
  const { model } = yield { model: thought(said.join(' + ')) };
  return `rounds: ${said.join(', ')} | ${sampled(model)}`;
}

export const conversations = {
  ask_form: askForm,
  ask_url: askUrl,
  ask_model: askModel,
  ask_roots: askRoots,
  ask_together: askTogether,
  ask_rounds: askRounds,
};

export const watched = 'eras://watched';
export const asking = 'eras://asking';
export const missing = 'eras://missing';
export const levels = ['debug', 'info', 'warning', 'error'];
