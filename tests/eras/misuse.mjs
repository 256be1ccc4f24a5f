// Retries made by hand, right and wrong: what a client of 2026-07-28 may do to a `requestState` that it was given.

const accept = { action: 'accept', content: { name: 'Ada', cups: 1 } };

export async function misuse(client) {
  // The plain answer, the questions and state, or the refusal.
  const call = async (name, args, retry) => {
    try {
      const answer = await client.callTool({ name, arguments: args, ...retry }, { allowInputRequired: true });
      return answer.resultType === 'input_required' ? answer : { text: answer.content[0].text };
    } catch ({ code, message }) {
      return { code, message };
    }
  };
  const seen = {};
  const first = await call('ask_form', {});
  const [key] = Object.keys(first.inputRequests ?? {});
  const retry = (inputResponses, requestState = first.requestState) => ({ inputResponses, requestState });
  seen.first = { resultType: first.resultType, methods: Object.values(first.inputRequests ?? {}).map(({ method }) => method) };
  seen.tampered = await call('ask_form', {}, retry({ [key]: accept }, flipped(first.requestState)));
  seen.other_arguments = await call('ask_form', { wish: 'other' }, retry({ [key]: accept }));
  seen.other_tool = await call('ask_model', {}, retry({ [key]: accept }));
  seen.right = await call('ask_form', {}, retry({ [key]: accept }));
  seen.again = await call('ask_form', {}, retry({ [key]: accept }));

  const malformed = await call('ask_form', {});
  const [asked] = Object.keys(malformed.inputRequests ?? {});
  seen.malformed = await call('ask_form', {}, retry({ [asked]: 'perhaps' }, malformed.requestState));
  seen.mended = await call('ask_form', {}, retry({ [asked]: accept }, malformed.requestState));

  seen.piecemeal = await piecemeal(call);
  return seen;
}

// Answers one question a time, and one that nobody asked with each.
async function piecemeal(call) {
  const answers = {
    'elicitation/create': accept,
    'sampling/createMessage': { role: 'assistant', model: 'none', stopReason: 'endTurn', content: { type: 'text', text: 'so' } },
    'roots/list': { roots: [{ uri: 'file:///one', name: 'one' }] },
  };
  let answer = await call('ask_together', {});
  let rounds = 0;
  while (answer.resultType === 'input_required' && rounds < 8) {
    const [[key, { method }]] = Object.entries(answer.inputRequests);
    const inputResponses = { [key]: answers[method], nobody_asked: { action: 'decline' } };
    answer = await call('ask_together', {}, { inputResponses, requestState: answer.requestState });
    rounds += 1;
  }
  return { answer, rounds };
}

function flipped(state) {
  const at = state.length - 9;
  return state.slice(0, at) + (state[at] === 'A' ? 'B' : 'A') + state.slice(at + 1);
}
