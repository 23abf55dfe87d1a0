// What this page knows of the instances, kept up to date by the stream of changes.

import { events } from "./api.mjs";
import { timeOf } from "./words.mjs";

const MOST_ROWS = 20_000;
const PAUSES = [500, 1000, 2000, 5000, 10_000];

/** The rows by instance id, and whoever wants to hear of changes. */
export class Store {
  rows = new Map();
  listeners = new Set();
  entityListeners = new Set();
  /** Whether rows have been dropped for newer ones. */
  hasDropped = false;

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** `listener` gets the set of ids of the entities that have changed, which are not kept here. */
  listenToEntities(listener) {
    this.entityListeners.add(listener);
    return () => this.entityListeners.delete(listener);
  }

  tellOfEntities(ids) {
    for (const listener of [...this.entityListeners]) listener(new Set(ids));
  }

  /** Keeps the newer of two rows of an instance: an answer may overtake a change. */
  merge(rows, isLive = false) {
    for (const row of rows) {
      const known = this.rows.get(row.id);
      if (!known || timeOf(row.updated) >= timeOf(known.updated)) this.rows.set(row.id, row);
    }
    for (const id of this.rows.keys()) {
      if (this.rows.size <= MOST_ROWS) break;
      this.hasDropped = true;
      this.rows.delete(id);
    }
    this.tell(rows.map((row) => row.id), isLive);
  }

  remove(ids) {
    for (const id of ids) this.rows.delete(id);
    if (ids.length) this.tell(ids, true);
  }

  /** `isLive`: they have changed or gone just now; an answer to a request does not say that. */
  tell(ids, isLive = false) {
    for (const listener of [...this.listeners]) listener(new Set(ids), isLive);
  }
}

/**
 * Follows the changes until the returned function is called; connects again after a while if the host ends.
 *
 * `onRecovery`: the host can read the storage again. What has changed meanwhile, nobody has told.
 */
export function follow(store, { onOpen, onProblem, onRecovery, onKeyNeeded }) {
  const control = new AbortController();
  void (async () => {
    for (let failures = 0; !control.signal.aborted; failures += 1) {
      try {
        for await (const { name, data } of events(control.signal)) {
          if (name === "open") {
            failures = 0;
            onProblem(null);
            onOpen(data);
          } else if (name === "changes") store.merge(data, true);
          else if (name === "entities") store.tellOfEntities(data);
          else if (name === "problem") {
            onProblem(data.text);
            if (data.text === null) onRecovery();
          }
        }
        onProblem("The host has ended the connection. Trying again.");
      } catch (error) {
        if (control.signal.aborted) return;
        if (error.needsKey) return onKeyNeeded();
        onProblem(`${error.status ? error.message : "The host does not answer."} Trying again.`);
      }
      await new Promise((next) => setTimeout(next, PAUSES[Math.min(failures, PAUSES.length - 1)]));
    }
  })();
  return () => control.abort();
}
