// The task hubs that this page can switch to: a list with links, each of which loads the page for its hub.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { get, hubAddress } from "./api.mjs";

export function HubsDialog({ hub, onClose }) {
  const dialog = useRef(null);
  const [accounts, setAccounts] = useState(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    dialog.current.showModal();
    const control = new AbortController();
    get("hubs", control.signal)
      .then((answer) => setAccounts(answer.accounts))
      .catch((error) => control.signal.aborted || setProblem(error.message));
    return () => control.abort();
  }, []);
  return html`<dialog ref=${dialog} onClose=${onClose} aria-label="Task hubs">
    <h2>Task hubs</h2>
    ${!accounts && !problem && html`<p role="status">Asking the storage accounts …</p>`}
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    ${(accounts ?? []).map((account) => html`<section key=${account.connection}>
      <h3>Storage <code>${account.connection}</code></h3>
      ${account.problem && html`<p class="problem">${account.problem}</p>`}
      ${!account.problem && !account.hubs.length && html`<p class="soft">No task hub.</p>`}
      <ul class="hubs">${account.hubs.map((name) => html`<li key=${name}>
        <a href=${hubAddress(name, account.connection)} aria-current=${isSame(hub, name, account) ? "true" : undefined}>${name}</a>
      </li>`)}</ul>
    </section>`)}
    <div class="buttons"><button type="button" onClick=${onClose}>Close</button></div>
  </dialog>`;
}

function isSame(hub, name, account) {
  return hub.hub.toLowerCase() === name.toLowerCase() && hub.connection === account.connection;
}
