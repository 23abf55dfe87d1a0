// The page: what the address shows, the key, and the stream of changes.

import { html, render, useEffect, useLayoutEffect, useState } from "./vendor/htm-preact.mjs";
import { get, nameHub, setKey } from "./api.mjs";
import { Entities, Entity } from "./entities.mjs";
import { EVERYTHING, readFilter, writeFilter } from "./filter.mjs";
import { HubsDialog } from "./hubs.mjs";
import { Instance } from "./instance.mjs";
import { List } from "./list.mjs";
import { StartDialog } from "./start.mjs";
import { Store, follow } from "./store.mjs";
import { isEntity } from "./words.mjs";

const store = new Store();

// The time of the host: its clock decides how long something has run, not that of this machine.
const clock = {
  offset: 0,
  now: () => Date.now() + clock.offset,
  set: (text) => {
    clock.offset = Date.parse(text) - Date.now();
  },
};

function App() {
  const route = useRoute();
  const [hub, setHub] = useState(null);
  // Of the stream, and of the last request that failed.
  const [problem, setProblem] = useState(null);
  const [failure, setFailure] = useState(null);
  const [needsKey, setNeedsKey] = useState(null);
  const [opened, setOpened] = useState(0);
  const [start, setStart] = useState(null);
  const [isSwitching, setIsSwitching] = useState(false);
  const isVisible = useVisibility();
  const onProblem = (error) => (error.needsKey ? setNeedsKey(error.status) : setFailure(error.message));

  useEffect(() => {
    if (needsKey !== null || !isVisible) return undefined;
    const stop = follow(store, {
      onOpen: (opening) => {
        clock.set(opening.now);
        nameHub(opening.hub, opening.connection);
        setOpened((times) => times + 1);
        get("hub").then(setHub).catch(onProblem);
      },
      onProblem: setProblem,
      onRecovery: () => setOpened((times) => times + 1),
      onKeyNeeded: () => setNeedsKey(401),
    });
    return stop;
  }, [needsKey, isVisible]);
  useEffect(() => setFailure(null), [route, opened]);
  useEffect(() => {
    if (route.view === "list") document.title = hub ? `${hub.hub}: console` : "Console";
  }, [route.view, hub]);

  if (needsKey !== null) return html`<${KeyForm} onDone=${() => setNeedsKey(null)} />`;
  const views = { store, clock, opened, onProblem, onStart: setStart };
  return html`
    <header class="top">
      <span class="brand">Console</span>
      <nav class="views" aria-label="Views">
        <a href="#/" aria-current=${isOfInstances(route) ? "page" : undefined}>Instances</a>
        <a href="#/entities" aria-current=${isOfInstances(route) ? undefined : "page"}>Entities</a>
      </nav>
      <span class="soft hub">${hub && html`Task hub <b>${hub.hub}</b>`}</span>
      ${hub?.switches && html`<button type="button" onClick=${() => setIsSwitching(true)}>Other hubs …</button>`}
      <span class=${`state ${problem ? "lost" : opened ? "live" : ""}`} role="status">${problem ? "Not connected" : opened ? "Live" : "Connecting …"}</span>
      ${hub && (hub.actions ? html`<button type="button" class="main" onClick=${() => setStart({})}>Start …</button>` : html`<span class="soft">Only reads</span>`)}
    </header>
    ${(problem ?? failure) && html`<p class="problem bar" role="alert">${problem ?? failure}</p>`}
    ${opened === 0 ? html`<main><p class="empty">Loading …</p></main>`
      : html`<${VIEWS[route.view]} key=${route.id} id=${route.id} hub=${hub} filter=${route.filter} onFilter=${showFilter} ...${views} />`}
    ${start && html`<${StartDialog} hub=${hub} clock=${clock} initial=${start} onClose=${() => setStart(null)} />`}
    ${isSwitching && html`<${HubsDialog} hub=${hub} onClose=${() => setIsSwitching(false)} />`}`;
}

const VIEWS = { list: List, instance: Instance, entities: Entities, entity: Entity };

function isOfInstances(route) {
  return route.view === "list" || route.view === "instance";
}

function showFilter(filter) {
  const query = writeFilter(filter ?? EVERYTHING);
  history.replaceState(null, "", query ? `#/?${query}` : "#/");
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/** The view that the part of the address after `#` names. */
function useRoute() {
  const read = () => {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const [first, rest] = path.split("/");
    const id = rest && (first === "instances" || first === "entities") ? decoded(rest) : null;
    const view = id === null ? (first === "entities" ? "entities" : "list") : isEntity(id) ? "entity" : "instance";
    return { view, id, filter: readFilter(query ?? "") };
  };
  const [route, setRoute] = useState(read);
  // Before the page is painted: nobody can click on a link earlier.
  useLayoutEffect(() => {
    const change = () => setRoute(read());
    window.addEventListener("hashchange", change);
    return () => window.removeEventListener("hashchange", change);
  }, []);
  return route;
}

/** Whether somebody can see this page. A hidden one follows nothing: browsers allow six connections to a host for all tabs. */
function useVisibility() {
  const [isVisible, setIsVisible] = useState(!document.hidden);
  useEffect(() => {
    const change = () => setIsVisible(!document.hidden);
    document.addEventListener("visibilitychange", change);
    return () => document.removeEventListener("visibilitychange", change);
  }, []);
  return isVisible;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function KeyForm({ onDone }) {
  const [value, setValue] = useState("");
  const [problem, setProblem] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    setKey(value.trim());
    try {
      await get("hub");
      onDone();
    } catch (error) {
      setKey("");
      setProblem(error.status === 403 ? "This key is for something else." : error.needsKey ? "This is no key of this host." : error.message);
    }
  };
  return html`<main class="key">
    <form onSubmit=${submit}>
      <h1>Console</h1>
      <p>This host asks for a key: the system key <code>durabletask_extension</code>, or the master key. The start of the host prints
        where the keys are. This page keeps the key in memory until it is closed or loaded again.</p>
      <label>Key <input type="password" value=${value} onInput=${(event) => setValue(event.target.value)} autocomplete="off" autofocus /></label>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <div class="buttons"><button type="submit" class="main">Open</button></div>
    </form>
  </main>`;
}

render(html`<${App} />`, document.getElementById("app"));
