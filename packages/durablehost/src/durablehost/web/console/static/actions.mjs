// What one can do to an instance: each action is a dialog, and a request to the management API.

import { html, useEffect, useState } from "./vendor/htm-preact.mjs";
import { get, manage, purgeOne } from "./api.mjs";
import { Dialog } from "./dialog.mjs";
import { isFinished, link } from "./words.mjs";

const isActive = (row) => !isFinished(row.status);

// `fields`: what the dialog asks for. `run` gets their values and the row that the dialog was opened for, and returns the id
// of the instance to show next, or nothing.
const ACTIONS = [
  {
    title: "Raise event …", confirm: "Raise event", fits: isActive,
    explain: "Sends an external event. It is kept until the orchestrator waits for an event of this name.",
    fields: [{ name: "event", title: "Name", isRequired: true }, { name: "data", title: "Data, as JSON", isJson: true, initial: "null" }],
    run: (path, { event, data }) => manage("POST", `${path}/raiseEvent/${encodeURIComponent(event)}`, data.trim() || "null"),
  },
  {
    title: "Suspend …", confirm: "Suspend", fits: (row) => isActive(row) && row.status !== "Suspended",
    explain: "Its messages wait until it is resumed. Activities that run already end.",
    fields: [{ name: "reason", title: "Reason" }],
    run: (path, { reason }) => manage("POST", `${path}/suspend?reason=${encodeURIComponent(reason)}`),
  },
  {
    title: "Resume …", confirm: "Resume", fits: (row) => row.status === "Suspended",
    explain: "The instance goes on with the messages that have arrived meanwhile.",
    fields: [{ name: "reason", title: "Reason" }],
    run: (path, { reason }) => manage("POST", `${path}/resume?reason=${encodeURIComponent(reason)}`),
  },
  {
    title: "Terminate …", confirm: "Terminate", fits: isActive, isDestructive: true,
    explain: "Ends the instance at its next episode. Activities that run already end, and their results are dropped.",
    fields: [{ name: "reason", title: "Reason" }],
    run: (path, { reason }) => manage("POST", `${path}/terminate?reason=${encodeURIComponent(reason)}`),
  },
  {
    title: "Rewind …", confirm: "Rewind", fits: (row) => row.status === "Failed",
    explain: "Repeats what has failed, and goes on from there. What has completed is not run again.",
    fields: [{ name: "reason", title: "Reason" }],
    run: (path, { reason }) => manage("POST", `${path}/rewind?reason=${encodeURIComponent(reason)}`),
  },
  {
    title: "Restart …", confirm: "Restart", fits: () => true,
    explain: "Starts the same orchestrator with the same input under a new id.",
    fields: [],
    run: async (path) => (await manage("POST", `${path}/restart`))?.id,
  },
  {
    title: "Purge …", confirm: "Purge", fits: (row) => isFinished(row.status), isDestructive: true, removes: true,
    explain: "Removes the instance with its history, input and output from the storage. This cannot be undone.",
    fields: [],
    run: (path, values, row) => purgeOne(row),
  },
];

// A continue-as-new is still the run that was looked at; the host knows the difference.
const REPLACED = "Another run has begun under this id. Close this, and look at it.";

/** Why an action that was chosen for `before` no longer fits the instance, which is now `row`; empty if it does. */
function obstacle(action, before, row) {
  if (isFinished(row.status) && !action.fits(row)) return "The instance has ended already.";
  if (!action.fits(row)) return `The instance is ${row.status} now.`;
  // One that has ended changes no more: this is a later run under its id, and not the one that was looked at.
  return isFinished(before.status) && row.updated !== before.updated ? "The instance has changed meanwhile. Close this, and look at it again." : "";
}

export function Actions({ row, store, onStart }) {
  // The action whose dialog is open, with the row of that moment, and what has come in its way since then.
  const [chosen, setChosen] = useState(null);
  const [note, setNote] = useState("");
  useEffect(() => setNote(""), [row.id, row.status]);
  const inTheWay = chosen === null ? "" : chosen.inTheWay || obstacle(chosen.action, chosen.row, row);
  useEffect(() => {
    // For good: the next run under this id may be one that the action fits.
    if (inTheWay) setChosen((before) => before && { ...before, inTheWay });
  }, [inTheWay]);
  // A change may not have reached this page yet. What a purge removes, the host compares itself.
  const check = async (action) => {
    const before = chosen.row;
    const latest = await get(`instances/${encodeURIComponent(row.id)}?${new URLSearchParams({ since: before.execution ?? "" })}`);
    const found = obstacle(action, before, latest) || (latest.isReplaced ? REPLACED : "");
    if (!found) return;
    setChosen((before) => before && { ...before, inTheWay: found });
    throw new Error(found);
  };
  const run = async (values) => {
    if (inTheWay) throw new Error(inTheWay);
    const { action } = chosen;
    if (!action.removes) await check(action);
    const next = await action.run(`/instances/${encodeURIComponent(row.id)}`, values, chosen.row);
    setChosen(null);
    if (action.removes) {
      store.remove([row.id]);
      location.hash = "#/";
    } else if (typeof next === "string") location.hash = link(next);
    else setNote(`${action.confirm}: the request is stored.`);
  };
  return html`<div class="actions">
    ${ACTIONS.filter((action) => action.fits(row)).map((action) => html`<button key=${action.title} type="button"
      class=${action.isDestructive ? "destructive" : ""} onClick=${() => setChosen({ action, row, inTheWay: "" })}>${action.title}</button>`)}
    <button type="button" onClick=${onStart}>Start another …</button>
    <span class="soft" role="status">${note}</span>
    ${chosen && html`<${Dialog} title=${chosen.action.confirm} explain=${chosen.action.explain} subject=${row.id} fields=${chosen.action.fields}
      confirm=${chosen.action.confirm} isDestructive=${chosen.action.isDestructive} warning=${inTheWay} onRun=${run} onClose=${() => setChosen(null)} />`}
  </div>`;
}
