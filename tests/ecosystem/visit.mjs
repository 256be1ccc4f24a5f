// What a TypeScript client does at the everything-server, the same for both SDK lines: everything once, as plain values.

const calls = {
  test_simple_text: {},
  test_multiple_content_types: {},
  test_audio_content: {},
  test_error_handling: {},
  echo_arguments: { 'é': [1, 2.5, null, { deep: '\u2028' }] },
  test_sampling: { prompt: 'capital?' },
  test_elicitation_sep1034_defaults: {},
  test_input_required_result_list_roots: {},
  test_input_required_result_multiple_inputs: {},
  test_input_required_result_multi_round: {},
};

function plain(result) {
  const { content, structuredContent, isError } = result;
  return { content, structuredContent, isError: isError ?? false };
}

async function refusal(attempt) {
  try {
    return { answer: await attempt };
  } catch (error) {
    return { code: error.code };
  }
}

async function allResources(client) {
  const found = [];
  let cursor;
  do {
    const page = await client.listResources(cursor ? { cursor } : {});
    found.push(...page.resources);
    cursor = page.nextCursor;
  } while (cursor && found.length < 100);
  // The 2.x client walks the pages by itself and hands back all of them with the first call.
  return [...new Map(found.map((resource) => [resource.uri, resource])).values()];
}

async function progress(call) {
  const steps = [];
  const options = { onprogress: ({ progress: done, total, message }) => steps.push([done, total, message]) };
  const wanted = { name: 'test_tool_with_progress', arguments: {} };
  await call(wanted, options);
  return steps;
}

// `call` takes (params, options): the two SDK lines have their options in different places.
async function everything(client, call) {
  const seen = {};
  seen.tools = (await client.listTools()).tools;
  seen.prompts = (await client.listPrompts()).prompts;
  seen.templates = (await client.listResourceTemplates()).resourceTemplates;
  seen.resources = await allResources(client);
  for (const [name, args] of Object.entries(calls)) {
    seen[name] = plain(await client.callTool({ name, arguments: args }));
  }
  seen.progress = await progress(call);
  seen.parallel = await Promise.all(
    Array.from({ length: 20 }, async (_, number) => {
      const answer = await client.callTool({ name: 'echo_arguments', arguments: { number } });
      return answer.structuredContent;
    }),
  );
  for (const uri of ['test://static-text', 'test://static-binary', 'test://template/47/data']) {
    seen[uri] = (await client.readResource({ uri })).contents;
  }
  for (const prompt of seen.prompts) {
    const args = Object.fromEntries((prompt.arguments ?? []).map(({ name }) => [name, `a ${name}`]));
    seen[prompt.name] = (await client.getPrompt({ name: prompt.name, arguments: args })).messages;
  }
  const ref = { type: 'ref/prompt', name: 'test_prompt_with_arguments' };
  seen.completion = (await client.complete({ ref, argument: { name: 'arg1', value: 'par' } })).completion;
  seen.refusals = [
    await refusal(client.callTool({ name: 'no_such_tool', arguments: {} })),
    await refusal(client.readResource({ uri: 'test://nothing-here' })),
    await refusal(client.getPrompt({ name: 'no_such_prompt' })),
  ];
  return seen;
}

function elicited({ requestedSchema }) {
  const entries = Object.entries(requestedSchema.properties);
  return { action: 'accept', content: Object.fromEntries(entries.map(([name, { default: value }]) => [name, value ?? `my ${name}`])) };
}

function sampled({ messages }) {
  const content = messages[0].content;
  const block = Array.isArray(content) ? content[0] : content;
  return { role: 'assistant', model: 'none', content: { type: 'text', text: `to '${block.text}' I say Paris` } };
}

function roots() {
  return { roots: [{ uri: 'file:///srv/one' }, { uri: 'file:///srv/two' }] };
}

export const visit = { everything, elicited, sampled, roots };
