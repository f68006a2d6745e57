// A stream of server-sent events, read from a response: no EventSource, which would put a token into an address.

/**
 * Read events until the stream ends.
 * @param {Response} response
 * @param {(event: {name: string, data: any, id: string}) => void} told
 */
export async function readEvents(response, told) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => split(line)));
      if (fields.data) told({ name: fields.event, data: JSON.parse(fields.data), id: fields.id ?? "" });
    }
  }
}

/** @param {string} line */
function split(line) {
  const at = line.indexOf(": ");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 2)];
}
