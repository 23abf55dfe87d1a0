// Requests to the host. The key is in this variable alone, and travels in a header: never in an address or a store.

const MANAGEMENT = "/runtime/webhooks/durabletask";
let key = "";
// The task hub that this page shows: every request names it, so that a server of another hub refuses instead of answering.
let hub = namesIn(location.search);

export function setKey(value) {
  key = value;
}

function namesIn(text) {
  const query = new URLSearchParams(text);
  return Object.fromEntries(["taskHub", "connection"].filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
}

/** Names the task hub from now on, as its server does. */
export function nameHub(taskHub, connection) {
  hub = { taskHub, connection };
}

/** The address of the page for a task hub. */
export function hubAddress(taskHub, connection) {
  return `/console?${new URLSearchParams({ taskHub, connection })}#/`;
}

/** A request that was refused or failed; `status` 0: the host did not answer. */
class RequestFailed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  get needsKey() {
    return this.status === 401 || this.status === 403;
  }
}

async function request(path, options = {}) {
  const headers = { ...options.headers, ...(key ? { "x-functions-key": key } : {}) };
  const address = `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams(hub)}`;
  let answer;
  try {
    answer = await fetch(address, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestFailed(0, "The host does not answer.");
  }
  if (!answer.ok) throw new RequestFailed(answer.status, await reason(answer));
  return answer;
}

// Of answers without a body.
const REASONS = { 404: "There is no such instance.", 410: "The instance has ended already.", 413: "The text is too large.", 503: "The host is ending." };

async function reason(answer) {
  try {
    const body = await answer.json();
    if (typeof body === "string") return body;
    return body.ExceptionMessage || body.Message || `The host answered ${answer.status}.`;
  } catch {
    return REASONS[answer.status] ?? `The host answered ${answer.status}.`;
  }
}

/** The JSON of a route of the console. */
export async function get(path, signal) {
  const answer = await request(`/console/api/${path}`, { signal });
  return answer.json();
}

/** A request to the management API; the JSON of its answer, or null. `body` is JSON text unless `type` says otherwise. */
export async function manage(method, path, body, type = "application/json") {
  const headers = body === undefined ? {} : { "Content-Type": type };
  const answer = await request(MANAGEMENT + path, { method, headers, body });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** Purges an instance, unless it was updated after this row of it: then the host answers 412. */
export function purgeOne({ id, updated }) {
  return request(`/console/api/instances/${encodeURIComponent(id)}?${new URLSearchParams({ updated })}`, { method: "DELETE" });
}

/** The events of the host, until the signal ends them or the connection breaks. Not an EventSource, which sends no key. */
export async function* events(signal) {
  const answer = await request("/console/api/changes", { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [name, data] = block.split("\n");
      if (data) yield { name: name.slice("event: ".length), data: JSON.parse(data.slice("data: ".length)) };
    }
  }
}
