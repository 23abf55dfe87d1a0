// A form in front of the page, which asks before something is done.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";

// The height of a field for JSON, in lines.
const LEAST_ROWS = 5;
const MOST_ROWS = 12;

/**
 * A modal form; `onRun` gets the values by name, and its error is shown. `warning`: what has come in its way.
 *
 * The dialog keeps the values itself, unless `values` has them: then `onValue` gets the name and the new value of a field.
 */
export function Dialog({ title, explain, subject, fields, confirm, isDestructive, warning = "", values, onValue, onRun, onClose }) {
  const dialog = useRef(null);
  const [kept, setKept] = useState(Object.fromEntries(fields.map((field) => [field.name, field.initial ?? ""])));
  const shown = values ?? kept;
  const change = onValue ?? ((name, value) => setKept({ ...kept, [name]: value }));
  const [problem, setProblem] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const wrong = fields.map((field) => mistake(field, shown[field.name])).find(Boolean);
    if (wrong) return setProblem(wrong);
    setIsBusy(true);
    try {
      await onRun(shown);
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
      ${fields.map((field) => html`<${Field} key=${field.name} field=${field} value=${shown[field.name]}
        onInput=${(event) => change(field.name, event.target.value)} />`)}
      ${(problem || warning) && html`<p class="problem" role="alert">${problem || warning}</p>`}
      <div class="buttons">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class=${isDestructive ? "destructive main" : "main"} disabled=${isBusy}>${confirm}</button>
      </div>
    </form>
  </dialog>`;
}

function Field({ field, value, onInput }) {
  return html`<label>${field.title}<${Control} field=${field} value=${value} onInput=${onInput} /></label>
    ${field.note && html`<div class="soft field-note" role="status">${field.note}</div>`}`;
}

/** `choices` makes a list to choose from, `isJson` a field of several lines; `options` are proposals for a field of one line. */
function Control({ field, value, onInput }) {
  if (field.choices)
    return html`<select name=${field.name} value=${value} onChange=${onInput}>
      ${field.choices.map((choice) => html`<option key=${choice.value} value=${choice.value}>${choice.text}</option>`)}
    </select>`;
  const common = { value, onInput, name: field.name, autocomplete: "off", spellcheck: false };
  if (field.isJson) return html`<textarea rows=${rowsOf(value)} ...${common}></textarea>`;
  const list = field.options ? `${field.name}-options` : undefined;
  return html`<input type=${field.type ?? "text"} list=${list} ...${common} />
    ${list && html`<datalist id=${list}>${field.options.map((option) => html`<option key=${option} value=${option} />`)}</datalist>`}`;
}

function rowsOf(text) {
  return Math.max(LEAST_ROWS, Math.min(MOST_ROWS, text.split("\n").length));
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
