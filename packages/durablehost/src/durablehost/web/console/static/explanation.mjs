// Why an instance waits, in the sentences of the host.

import { html, useEffect, useState } from "./vendor/htm-preact.mjs";
import { get } from "./api.mjs";

// Queues and leases change without a change of the instance; the host reads the history for each answer.
const LEAST_PAUSE_MS = 5000;
const ENDS = new Set(["completed", "failed", "terminated", "canceled"]);

/** `version` changes with the instance; then the explanation is read again too. */
export function Explanation({ id, version }) {
  const reasons = useReasons(id, version);
  // It has ended, which the page learns in a moment.
  if (!reasons?.length || reasons.some((reason) => ENDS.has(reason.kind))) return null;
  return html`<section class="why" aria-live="polite"><h2>Why is it waiting?</h2>
    ${reasons.map((reason, index) => html`<p key=${index}>${reason.text}</p>`)}
  </section>`;
}

function useReasons(id, version) {
  const [reasons, setReasons] = useState(null);
  useEffect(() => {
    const control = new AbortController();
    let timer = null;
    const read = async () => {
      const began = Date.now();
      try {
        // Nobody sees a hidden page, and an answer costs the storage several requests.
        if (!document.hidden) setReasons((await get(`instances/${encodeURIComponent(id)}/explanation`, control.signal)).reasons);
      } catch {
        if (control.signal.aborted) return; // else the stream of changes shows the problem
      }
      timer = setTimeout(read, Math.max(LEAST_PAUSE_MS, 10 * (Date.now() - began)));
    };
    void read();
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [id, version]);
  return reasons;
}
