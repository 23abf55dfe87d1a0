// The entities of the hub with their states, one entity, and a signal to it.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { get, manage } from "./api.mjs";
import { Dialog } from "./dialog.mjs";
import { Reader } from "./reader.mjs";
import { LongTable, Text, useNow } from "./ui.mjs";
import { ago, count, link, moment, readable, timeOf } from "./words.mjs";

const TYPING_MS = 300;

const COLUMNS = [
  { title: "Name", class: "name" },
  { title: "Key", class: "id" },
  { title: "Last operation", class: "time" },
  { title: "State", class: "state-text" },
];

export function Entities({ store, clock, opened, onProblem }) {
  const [name, setName] = useState("");
  const { entities, more, isLoading, load } = useEntities({ name: name.trim(), store, opened, onProblem });
  const now = useNow(clock);
  useEffect(() => {
    document.title = "Entities";
  }, []);
  return html`<main>
    <h1 class="hidden">Entities</h1>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Name <input value=${name} onInput=${(event) => setName(event.target.value)} placeholder="any" autocomplete="off" /></label>
    </form>
    ${entities.length
      ? html`<${LongTable} label="Entities" columns=${COLUMNS} count=${entities.length} keyOf=${(number) => entities[number].id}
          row=${(number) => cells(entities[number], now)} />`
      : html`<p class="empty">${isLoading ? "Loading …" : "No entity matches."}</p>`}
    <p class="soft" role="status">${count(entities.length)} ${entities.length === 1 ? "entity" : "entities"}, by name and key
      ${more && html` <button type="button" onClick=${load}>Load more</button>`}</p>
  </main>`;
}

function cells(entity, now) {
  const state = readable(entity.state, true);
  return html`
    <td class="name" title=${entity.name}>${entity.name}</td>
    <td class="id" title=${entity.key}><a href=${link(entity.id)}>${entity.key || "(empty key)"}</a></td>
    <td class="time" title=${moment(timeOf(entity.updated), now)}>${ago(timeOf(entity.updated), now)}</td>
    <td class="state-text" title=${state}>${state}</td>`;
}

/** The first pages of the entities; read again as far after a change of one of them. */
function useEntities({ name, store, opened, onProblem }) {
  const [state, setState] = useState({ entities: [], token: null, isLoading: true });
  const pages = useRef(1);
  const load = useRef(() => {});
  const isFirst = useRef(true);
  useEffect(() => {
    pages.current = 1;
    const reader = new Reader(async (signal) => {
      const entities = [];
      let token = "";
      for (let page = 0; page < pages.current && token !== null; page += 1) {
        const query = new URLSearchParams({ ...(name && { name }), ...(token && { continuation: token }) });
        const answer = await get(`entities?${query}`, signal);
        entities.push(...answer.entities);
        token = answer.continuation;
      }
      setState({ entities, token, isLoading: false });
    }, onProblem);
    load.current = () => {
      pages.current += 1;
      reader.ask();
    };
    const ignore = store.listenToEntities(() => reader.ask());
    const timer = setTimeout(() => reader.ask(), isFirst.current ? 0 : TYPING_MS);
    isFirst.current = false;
    return () => {
      clearTimeout(timer);
      ignore();
      reader.end();
    };
  }, [name, opened]);
  return { ...state, more: state.token !== null, load: () => load.current() };
}

export function Entity({ id, hub, store, clock, opened, onProblem }) {
  const [state, setState] = useState({ entity: null, isGone: false });
  const [isSignalling, setIsSignalling] = useState(false);
  const [note, setNote] = useState("");
  const now = useNow(clock);
  useEffect(() => {
    document.title = id;
    const reader = new Reader(async (signal) => {
      try {
        setState({ entity: await get(`entities/${encodeURIComponent(id)}`, signal), isGone: false });
      } catch (error) {
        if (error.status !== 404) throw error;
        setState({ entity: null, isGone: true });
      }
    }, onProblem);
    void reader.ask();
    const ignore = store.listenToEntities((ids) => ids.has(id) && reader.ask());
    return () => {
      ignore();
      reader.end();
    };
  }, [id, opened]);
  const { entity, isGone } = state;
  const [, name, key] = /^@([^@]*)@?([^]*)$/.exec(id) ?? [null, id, ""];
  return html`<main>
    <nav class="crumbs" aria-label="Where you are"><a href="#/entities">Entities</a>${" / "}<span>${id}</span></nav>
    <div class="head">
      <h1>${name} <span class="soft">${key}</span></h1>
      <p class="soft facts">Id <code>${id}</code>${entity && html` · last operation ${moment(timeOf(entity.updated), now)}`}</p>
      ${hub?.actions && html`<div class="actions">
        <button type="button" onClick=${() => setIsSignalling(true)}>Signal …</button>
        <span class="soft" role="status">${note}</span>
      </div>`}
    </div>
    ${isGone && html`<p class="empty">There is no entity with this id. A signal may create it.</p>`}
    ${!isGone && !entity && html`<p class="empty">Loading …</p>`}
    ${entity?.problem && html`<p class="problem" role="alert">${entity.problem}</p>`}
    ${entity && html`<section><h2>State</h2><${Text} text=${entity.state} /></section>`}
    ${isSignalling && html`<${SignalDialog} id=${id} name=${name} entityKey=${key} hub=${hub} onClose=${() => setIsSignalling(false)}
      onDone=${(operation) => setNote(`Signal ${operation}: the request is stored.`)} />`}
  </main>`;
}

const FIELDS = [
  { name: "operation", title: "Operation", isRequired: true },
  { name: "input", title: "Input, as JSON; empty for none", isJson: true },
];

function SignalDialog({ id, name, entityKey, hub, onClose, onDone }) {
  const run = async ({ operation, input }) => {
    const path = `/entities/${encodeURIComponent(name)}/${encodeURIComponent(entityKey || "$")}?op=${encodeURIComponent(operation.trim())}`;
    // As text: to Python, the input of an operation is JSON within a text, as the SDK's client sends it.
    await manage("POST", path, input.trim() || undefined, "text/plain");
    onClose();
    onDone(operation.trim());
  };
  return html`<${Dialog} title="Signal an entity" subject=${id} fields=${FIELDS} confirm="Signal" onRun=${run} onClose=${onClose}
    explain=${`The entity runs the operation; nobody gets its result.${hub.runs ? "" : " A host has to run it."}`} />`;
}
