// Purges every finished instance that matches the filter: counts them first, then removes exactly those.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { get, manage } from "./api.mjs";
import { filterQuery, finishedOnly } from "./filter.mjs";
import { count } from "./words.mjs";

// Requests at a time: a purge is several requests to the storage.
const AT_ONCE = 4;
const TOLD_EVERY = 100;

export function PurgeDialog({ filter, store, clock, onClose }) {
  const dialog = useRef(null);
  const control = useRef(new AbortController());
  const [found, setFound] = useState({ ids: [], isWhole: false });
  const [done, setDone] = useState(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    dialog.current.showModal();
    findAll(finishedOnly(filter), clock.now(), control.current.signal, setFound).catch(show);
    return () => control.current.abort();
  }, []);
  const show = (error) => control.current.signal.aborted || setProblem(error.needsKey ? "The key is not valid any more. Reload the page to give another." : error.message);
  const purge = async (event) => {
    event.preventDefault();
    setDone(0);
    try {
      await purgeAll(found.ids, control.current.signal, store, setDone);
      onClose();
    } catch (error) {
      show(error);
    }
  };
  const amount = `${count(found.ids.length)} ${found.ids.length === 1 ? "instance" : "instances"}`;
  return html`<dialog ref=${dialog} onClose=${onClose} aria-label="Purge instances">
    <form onSubmit=${purge}>
      <h2>Purge instances</h2>
      <p role="status">${done !== null ? `${count(done)} of ${amount} purged.`
        : !found.isWhole ? `Counting: ${amount} so far …`
        : found.ids.length ? html`<b>${amount}</b> ${found.ids.length === 1 ? "matches" : "match"} the filter and ${found.ids.length === 1 ? "has" : "have"} ended.`
        : "No instance that has ended matches the filter."}</p>
      ${done === null && found.ids.length > 0 && html`<p>Each is removed with its history, input and output from the storage. Instances that have not ended
        stay. This cannot be undone.</p>`}
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <div class="buttons">
        <button type="button" onClick=${onClose}>${done === null ? "Cancel" : "Stop"}</button>
        <button type="submit" class="destructive main" disabled=${done !== null || !found.isWhole || !found.ids.length}>Purge ${amount}</button>
      </div>
    </form>
  </dialog>`;
}

/** Finds the ids page by page; `onFound` gets those so far. */
async function findAll(filter, now, signal, onFound) {
  const ids = [];
  for (let token = ""; filter !== null && token !== null; ) {
    const following = token ? `&continuation=${encodeURIComponent(token)}` : "";
    const answer = await get(`instances?${filterQuery(filter, now)}${following}`, signal);
    ids.push(...answer.instances.map((row) => row.id));
    token = answer.continuation;
    onFound({ ids: [...ids], isWhole: token === null });
  }
  if (filter === null) onFound({ ids, isWhole: true });
}

/** Purges the instances; `onDone` gets how many are gone. One that was purged or started again meanwhile is no failure. */
async function purgeAll(ids, signal, store, onDone) {
  let next = 0;
  let done = 0;
  let gone = [];
  const tell = () => {
    store.remove(gone);
    gone = [];
    onDone(done);
  };
  const work = async () => {
    while (next < ids.length && !signal.aborted) {
      const id = ids[next++];
      try {
        await manage("DELETE", `/instances/${encodeURIComponent(id)}`);
        gone.push(id);
      } catch (error) {
        if (error.status !== 404 && error.status !== 412) {
          next = ids.length;
          throw error;
        }
        if (error.status === 404) gone.push(id);
      }
      done += 1;
      if (gone.length >= TOLD_EVERY) tell();
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    tell();
  }
}
