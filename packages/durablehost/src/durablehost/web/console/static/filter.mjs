// The filter of the list: in the address, in requests, and applied to rows that have changed. Pure.

import { FINISHED, isFinished, timeOf } from "./words.mjs";

export const EVERYTHING = { status: [], name: "", prefix: "", created: "", from: "", to: "" };
const HOURS = { hour: 1, day: 24, week: 7 * 24 };

/** The filter in the part of the address after `#/?`. */
export function readFilter(text) {
  const query = new URLSearchParams(text);
  const filter = { ...EVERYTHING, status: (query.get("status") ?? "").split(",").filter(Boolean) };
  for (const name of ["name", "prefix", "created", "from", "to"]) filter[name] = query.get(name) ?? "";
  return filter;
}

export function writeFilter(filter) {
  const query = new URLSearchParams();
  if (filter.status.length) query.set("status", filter.status.join(","));
  for (const name of ["name", "prefix", "created", "from", "to"]) if (filter[name]) query.set(name, filter[name]);
  return query.toString();
}

/** The first and the last time of creation that the filter allows, in milliseconds; null: any. */
export function createdRange(filter, now) {
  if (filter.created === "range") return { from: timeOf(filter.from), to: timeOf(filter.to) };
  const hours = HOURS[filter.created];
  return { from: hours ? now - hours * 3.6e6 : null, to: null };
}

/** The query of a request; `withStatus` false leaves the status out. */
export function filterQuery(filter, now, withStatus = true) {
  const query = new URLSearchParams();
  const { from, to } = createdRange(filter, now);
  if (withStatus && filter.status.length) query.set("runtimeStatus", filter.status.join(","));
  if (filter.name.trim()) query.set("name", filter.name.trim());
  if (filter.prefix.trim()) query.set("instanceIdPrefix", filter.prefix.trim());
  if (from !== null) query.set("createdTimeFrom", new Date(from).toISOString());
  if (to !== null) query.set("createdTimeTo", new Date(to).toISOString());
  return query.toString();
}

/** The filter for the instances among its own that have ended; null if there can be none. */
export function finishedOnly(filter) {
  const status = filter.status.length ? filter.status.filter(isFinished) : [...FINISHED];
  return status.length ? { ...filter, status } : null;
}

export function matches(row, filter, now) {
  const { from, to } = createdRange(filter, now);
  const created = timeOf(row.created);
  return (
    (!filter.status.length || filter.status.includes(row.status)) &&
    (!filter.name.trim() || row.name === filter.name.trim()) &&
    row.id.startsWith(filter.prefix.trim()) &&
    (from === null || (created !== null && created >= from)) &&
    (to === null || (created !== null && created <= to))
  );
}
