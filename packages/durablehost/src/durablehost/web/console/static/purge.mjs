// Purges every finished instance that matches a filter: counts them first, then removes exactly those.
//
// Rule of this file: the filter, its words, the number and the ids are of one moment. An instance that has changed since
// then stays: the host checks that.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { get, purgeOne } from "./api.mjs";
import { filterQuery, filterWords, finishedOnly } from "./filter.mjs";
import { count } from "./words.mjs";

// Requests at a time: a purge is several requests to the storage.
const AT_ONCE = 4;
const TOLD_EVERY = 100;

export function PurgeDialog({ filter, store, clock, onClose }) {
  const dialog = useRef(null);
  const control = useRef(new AbortController());
  // Those of the moment at which the dialog opened, whatever becomes of the page behind it.
  const [{ words, now }] = useState(() => ({ words: filterWords(filter, clock.now()), now: clock.now() }));
  const [found, setFound] = useState({ rows: [], isWhole: false });
  const [done, setDone] = useState(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    dialog.current.showModal();
    findAll(finishedOnly(filter), now, control.current.signal, setFound).catch(show);
    return () => control.current.abort();
  }, []);
  const show = (error) => control.current.signal.aborted || setProblem(error.needsKey ? "The key is not valid any more. Reload the page to give another." : error.message);
  const purge = async (event) => {
    event.preventDefault();
    setDone({ gone: 0, kept: 0, isOver: false });
    try {
      const { kept } = await purgeAll(found.rows, control.current.signal, store, setDone);
      if (kept === 0) onClose();
    } catch (error) {
      show(error);
    }
  };
  const number = found.rows.length;
  const amount = `${count(number)} ${number === 1 ? "instance" : "instances"}`;
  return html`<dialog ref=${dialog} onClose=${onClose} aria-label="Purge instances">
    <form onSubmit=${purge}>
      <h2>Purge instances</h2>
      <p>${words.length ? html`Filter: <b>${words.join("; ")}</b>` : html`<b>No filter</b>: every instance of the task hub that has ended`}</p>
      <p role="status">${done !== null ? progressWords(done, amount)
        : !found.isWhole ? `Counting: ${amount} so far …`
        : number ? html`<b>${amount}</b> ${number === 1 ? "matches" : "match"} the filter and ${number === 1 ? "has" : "have"} ended.`
        : "No instance that has ended matches the filter."}</p>
      ${done === null && number > 0 && html`<p>Each is removed with its history, input and output from the storage. Instances that have not ended, or
        change from now on, stay. This cannot be undone.</p>`}
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <div class="buttons">
        <button type="button" onClick=${onClose}>${done === null ? "Cancel" : done.isOver ? "Close" : "Stop"}</button>
        <button type="submit" class="destructive main" disabled=${done !== null || !found.isWhole || !number}>Purge ${amount}</button>
      </div>
    </form>
  </dialog>`;
}

function progressWords({ gone, kept }, amount) {
  return `${count(gone)} of ${amount} purged.${kept ? ` ${count(kept)} ${kept === 1 ? "has" : "have"} changed meanwhile and ${kept === 1 ? "stays" : "stay"}.` : ""}`;
}

/** Finds the rows page by page; `onFound` gets those so far. */
async function findAll(filter, now, signal, onFound) {
  const rows = [];
  for (let token = ""; filter !== null && token !== null; ) {
    const following = token ? `&continuation=${encodeURIComponent(token)}` : "";
    const answer = await get(`instances?${filterQuery(filter, now)}${following}`, signal);
    rows.push(...answer.instances.map(({ id, updated }) => ({ id, updated })));
    token = answer.continuation;
    onFound({ rows: [...rows], isWhole: token === null });
  }
  if (filter === null) onFound({ rows, isWhole: true });
}

/** Purges the instances; `onDone` gets how many are gone, and how many have changed since they were found. */
async function purgeAll(rows, signal, store, onDone) {
  let next = 0;
  let kept = 0;
  let goneBefore = 0;
  let gone = [];
  const tell = (isOver) => {
    goneBefore += gone.length;
    store.remove(gone);
    gone = [];
    onDone({ gone: goneBefore, kept, isOver });
  };
  const work = async () => {
    while (next < rows.length && !signal.aborted) {
      const row = rows[next++];
      try {
        await purgeOne(row);
        gone.push(row.id);
      } catch (error) {
        // Changed (412), or gone already (404).
        if (error.status === 412) kept += 1;
        else if (error.status === 404) gone.push(row.id);
        else {
          next = rows.length;
          throw error;
        }
      }
      if (gone.length >= TOLD_EVERY) tell(false);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    tell(true);
  }
  return { kept };
}
