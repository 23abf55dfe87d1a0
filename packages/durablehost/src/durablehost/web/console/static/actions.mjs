// What one can do to an instance: each action is a dialog, and a request to the management API.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { manage, purgeOne } from "./api.mjs";
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

/** Why an action that was chosen for `before` no longer fits the instance, which is now `row`; empty if it does. */
function obstacle(action, before, row) {
  if (isFinished(row.status) && !action.fits(row)) return "The instance has ended already.";
  if (!action.fits(row)) return `The instance is ${row.status} now.`;
  // A later run under the same id would be removed in place of the one that was looked at.
  return action.removes && row.updated !== before.updated ? "The instance has changed meanwhile. Close this, and look at it again." : "";
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
  const run = async (values) => {
    if (inTheWay) throw new Error(inTheWay);
    const { action } = chosen;
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

/** The form that starts an instance. `initial`: the name and the input to begin with. */
export function StartDialog({ hub, initial, onClose }) {
  const names = hub?.orchestrators ?? [];
  const fields = [
    { name: "name", title: "Orchestrator", isRequired: true, options: names, initial: initial.name ?? names[0] ?? "" },
    { name: "id", title: "Id; empty for a new one" },
    { name: "input", title: "Input, as JSON; empty for none", isJson: true, initial: initial.input ?? "" },
  ];
  const run = async ({ name, id, input }) => {
    const path = `/orchestrators/${encodeURIComponent(name)}${id.trim() ? `/${encodeURIComponent(id.trim())}` : ""}`;
    const answer = await manage("POST", path, input.trim() || undefined);
    onClose();
    location.hash = link(answer.id);
  };
  const explain = hub?.runs ? "" : "This console stores the start; a host has to run it.";
  return html`<${Dialog} title="Start an instance" explain=${explain} fields=${fields} confirm="Start" onRun=${run} onClose=${onClose} />`;
}

/** A modal form; `onRun` gets the values by name, and its error is shown. `warning`: what has come in its way. */
export function Dialog({ title, explain, subject, fields, confirm, isDestructive, warning = "", onRun, onClose }) {
  const dialog = useRef(null);
  const [values, setValues] = useState(Object.fromEntries(fields.map((field) => [field.name, field.initial ?? ""])));
  const [problem, setProblem] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const wrong = fields.map((field) => mistake(field, values[field.name])).find(Boolean);
    if (wrong) return setProblem(wrong);
    setIsBusy(true);
    try {
      await onRun(values);
    } catch (error) {
      setProblem(error.needsKey ? "The key is not valid any more. Reload the page to give another." : error.message);
      setIsBusy(false);
    }
  };
  return html`<dialog ref=${dialog} onClose=${onClose} aria-label=${title}>
    <form onSubmit=${submit} novalidate>
      <h2>${title}</h2>
      ${subject && html`<p><code>${subject}</code></p>`}
      ${explain && html`<p>${explain}</p>`}
      ${fields.map((field) => html`<${Field} key=${field.name} field=${field} value=${values[field.name]}
        onInput=${(event) => setValues({ ...values, [field.name]: event.target.value })} />`)}
      ${(problem || warning) && html`<p class="problem" role="alert">${problem || warning}</p>`}
      <div class="buttons">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class=${isDestructive ? "destructive main" : "main"} disabled=${isBusy}>${confirm}</button>
      </div>
    </form>
  </dialog>`;
}

function Field({ field, value, onInput }) {
  const common = { value, onInput, name: field.name, autocomplete: "off", spellcheck: false };
  if (field.isJson) return html`<label>${field.title}<textarea rows="5" ...${common}></textarea></label>`;
  const list = field.options ? `${field.name}-options` : undefined;
  return html`<label>${field.title}<input type=${field.type ?? "text"} list=${list} ...${common} />
    ${list && html`<datalist id=${list}>${field.options.map((option) => html`<option key=${option} value=${option} />`)}</datalist>`}</label>`;
}

function mistake(field, value) {
  if (field.isRequired && !value.trim()) return `${field.title}: this is needed.`;
  if (!field.isJson || !value.trim()) return "";
  try {
    JSON.parse(value);
    return "";
  } catch (error) {
    return `${field.title.split(";")[0]}: ${error.message}. A text needs quotation marks: "like this".`;
  }
}
