// The form that starts an instance: its fields, the last inputs to choose from, and which of them is filled in. Pure.
//
// Rule of this file: an input that somebody has typed or brought along is replaced only by one that they choose.

import { indented } from "./json.mjs";
import { moment, timeOf } from "./words.mjs";

// In characters: the beginning of an input in the list to choose from.
const BEGINNING = 80;

/** The form at its beginning. `input`: one that is brought along, which may be empty; undefined: none is. */
export function newForm({ name = "", input }) {
  return { name, id: "", input: input ?? "", isOwn: input !== undefined, from: null, choices: [] };
}

/** The form after an entry into one of its fields: `name`, `id`, `input`, or `last`, the id of a choice or empty. */
export function changed(form, field, value) {
  if (field === "input") return { ...form, input: value, isOwn: true, from: null };
  if (field === "last") {
    const choice = form.choices.find(({ id }) => id === value);
    return choice ? filled(form, choice) : { ...form, input: "", isOwn: true, from: null };
  }
  const next = { ...form, [field]: value };
  if (field !== "name" || nameKey(value) === nameKey(form.name)) return next;
  // The inputs of another orchestrator are of no use to this one.
  return form.isOwn ? { ...next, choices: [] } : { ...next, choices: [], input: "", from: null };
}

/** The form once the last inputs of its orchestrator are known, newest first. */
export function withChoices(form, choices) {
  if (form.isOwn) return { ...form, choices };
  return choices.length ? filled({ ...form, choices }, choices[0]) : { ...form, choices, input: "", from: null };
}

function filled(form, choice) {
  return { ...form, input: choice.text, isOwn: false, from: choice };
}

/** What two names share that mean the same orchestrator to the host. */
function nameKey(name) {
  return name.trim().toLowerCase();
}

/** The name whose last inputs to ask for; null: none. `names` are the orchestrators of the host; empty: they are unknown. */
export function askedName(name, names) {
  if (!names.length) return name.trim() || null;
  return names.find((each) => nameKey(each) === nameKey(name)) ?? null;
}

/** What to send as the input; undefined: none. One that nobody has changed is sent as it was stored. */
export function sentInput({ input, from }) {
  return from?.stored ?? (input.trim() || undefined);
}

/**
 * The choices of an answer: `{ id, created, stored, text, label }`, each text once. An input that is no JSON is left out.
 *
 * `isOfPython`: the orchestrators get the same input from an object and from JSON text of that object.
 */
export function choicesOf(inputs, now, isOfPython) {
  const choices = [];
  for (const { id, created, input } of inputs) {
    const text = inputText(input, isOfPython);
    if (text === null || choices.some((each) => each.text === text)) continue;
    choices.push({ id, created, stored: input, text, label: `${moment(timeOf(created), now)} · ${beginning(text)}` });
  }
  return choices;
}

/** The beginning of an indented text in one line. */
function beginning(text) {
  const line = text.replace(/,\n\s*/g, ", ").replace(/\n\s*/g, "");
  return line.length > BEGINNING ? `${line.slice(0, BEGINNING)} …` : line;
}

/** A stored input as the form has it, to be read and changed; null if it is no JSON. */
function inputText(stored, isOfPython) {
  try {
    const value = JSON.parse(stored);
    return indented(isOfPython && typeof value === "string" && isObject(value) ? value : stored);
  } catch {
    return null;
  }
}

function isObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
