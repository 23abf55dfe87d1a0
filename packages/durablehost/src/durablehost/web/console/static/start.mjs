// The form that starts an instance. It offers the last inputs of the orchestrator.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { get, manage } from "./api.mjs";
import { Dialog } from "./dialog.mjs";
import { askedName, changed, choicesOf, newForm, sentInput, withChoices } from "./inputs.mjs";
import { link, moment, timeOf } from "./words.mjs";

const TYPING_MS = 300;

/** `initial`: the name, and an input that is brought along. */
export function StartDialog({ hub, clock, initial, onClose }) {
  const names = hub?.orchestrators ?? [];
  const [form, setForm] = useState(() => newForm({ name: initial.name ?? names[0], input: initial.input }));
  const { isLoading, problem, isComplete } = useLastInputs(askedName(form.name, names), ({ inputs }) => {
    const choices = choicesOf(inputs, clock.now(), hub?.runs);
    setForm((before) => withChoices(before, choices));
  });
  const change = (field, value) => setForm((before) => changed(before, field, value));
  const empty = (event) => {
    change("input", "");
    event.target.form.elements.input.focus();
  };
  const { choices, from } = form;
  const last = choices.length > 0 && {
    name: "last",
    title: "Last inputs",
    choices: [{ value: "", text: "None of these" }, ...choices.map(({ id, label }) => ({ value: id, text: label }))],
    note: !isComplete && "There are too many instances to look at all of them: newer inputs may be missing.",
  };
  const note = from ? html`The input of <code>${from.id}</code>, created ${moment(timeOf(from.created), clock.now())}.
      ${" "}<button type="button" onClick=${empty}>Empty it</button>`
    : isLoading ? "Looking for the last inputs …" : problem && `The last inputs cannot be read: ${problem}`;
  const fields = [
    { name: "name", title: "Orchestrator", isRequired: true, options: names },
    { name: "id", title: "Id; empty for a new one" },
    last,
    { name: "input", title: "Input, as JSON; empty for none", isJson: true, note },
  ].filter(Boolean);
  const run = async ({ name, id }) => {
    const path = `/orchestrators/${encodeURIComponent(name)}${id.trim() ? `/${encodeURIComponent(id.trim())}` : ""}`;
    const answer = await manage("POST", path, sentInput(form));
    onClose();
    location.hash = link(answer.id);
  };
  const explain = hub?.runs ? "" : "This console stores the start; a host has to run it.";
  return html`<${Dialog} title="Start an instance" explain=${explain} fields=${fields} values=${{ ...form, last: from?.id ?? "" }}
    onValue=${change} confirm="Start" onRun=${run} onClose=${onClose} />`;
}

/** Asks for the last inputs of an orchestrator, and again for those of another one; `name` null: of none. */
function useLastInputs(name, onAnswer) {
  const [state, setState] = useState({ isLoading: false, problem: "", isComplete: true });
  const isFirst = useRef(true);
  useEffect(() => {
    setState({ isLoading: name !== null, problem: "", isComplete: true });
    if (name === null) return undefined;
    const control = new AbortController();
    const ask = async () => {
      try {
        const answer = await get(`orchestrators/${encodeURIComponent(name)}/inputs`, control.signal);
        setState({ isLoading: false, problem: "", isComplete: answer.isComplete });
        onAnswer(answer);
      } catch (error) {
        if (!control.signal.aborted) setState({ isLoading: false, problem: error.message, isComplete: true });
      }
    };
    const timer = setTimeout(ask, isFirst.current ? 0 : TYPING_MS);
    isFirst.current = false;
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [name]);
  return state;
}
