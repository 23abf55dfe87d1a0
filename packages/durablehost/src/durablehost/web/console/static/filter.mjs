// The filter of the list: in the address, in requests, in words, and applied to rows that have changed. Pure.

import { FINISHED, isFinished, moment, timeOf } from "./words.mjs";

/** `sort` is the order of the rows (sorting.mjs), and no condition. */
export const EVERYTHING = { status: [], name: "", prefix: "", search: "", created: "", from: "", to: "", updated: "", sort: "" };
export const PERIODS = {
  hour: { hours: 1, text: "in the last hour" },
  day: { hours: 24, text: "in the last 24 hours" },
  week: { hours: 7 * 24, text: "in the last 7 days" },
};
const TEXTS = ["name", "prefix", "search", "created", "from", "to", "updated", "sort"];

/** The filter in the part of the address after `#/?`. */
export function readFilter(text) {
  const query = new URLSearchParams(text);
  const filter = { ...EVERYTHING, status: (query.get("status") ?? "").split(",").filter(Boolean) };
  for (const name of TEXTS) filter[name] = query.get(name) ?? "";
  return filter;
}

export function writeFilter(filter) {
  const query = new URLSearchParams();
  if (filter.status.length) query.set("status", filter.status.join(","));
  for (const name of TEXTS) if (filter[name]) query.set(name, filter[name]);
  return query.toString();
}

/** A text that two filters share if and only if they have the same conditions. */
export function conditions(filter) {
  return writeFilter({ ...filter, sort: "" });
}

/** The first and the last time of creation that the filter allows, in milliseconds; null: any. */
export function createdRange(filter, now) {
  if (filter.created === "range") return { from: timeOf(filter.from), to: timeOf(filter.to) };
  return { from: beginOf(filter.created, now), to: null };
}

function beginOf(period, now) {
  return Object.hasOwn(PERIODS, period) ? now - PERIODS[period].hours * 3.6e6 : null;
}

/** The query of a request; `withStatus` false leaves the status out. */
export function filterQuery(filter, now, withStatus = true) {
  const query = new URLSearchParams();
  const { from, to } = createdRange(filter, now);
  const updated = beginOf(filter.updated, now);
  if (withStatus && filter.status.length) query.set("runtimeStatus", filter.status.join(","));
  if (filter.name.trim()) query.set("name", filter.name.trim());
  if (filter.prefix.trim()) query.set("instanceIdPrefix", filter.prefix.trim());
  if (filter.search.trim()) query.set("search", filter.search.trim());
  if (from !== null) query.set("createdTimeFrom", new Date(from).toISOString());
  if (to !== null) query.set("createdTimeTo", new Date(to).toISOString());
  if (updated !== null) query.set("updatedTimeFrom", new Date(updated).toISOString());
  return query.toString();
}

/** The filter for the instances among its own that have ended; null if there can be none. */
export function finishedOnly(filter) {
  const status = filter.status.length ? filter.status.filter(isFinished) : [...FINISHED];
  return status.length ? { ...filter, status } : null;
}

export function matches(row, filter, now) {
  const { from, to } = createdRange(filter, now);
  const updated = beginOf(filter.updated, now);
  return (
    (!filter.status.length || filter.status.includes(row.status)) &&
    (!filter.name.trim() || row.name === filter.name.trim()) &&
    row.id.startsWith(filter.prefix.trim()) &&
    contains(row, filter.search.trim().toLowerCase()) &&
    ((from === null && to === null) || isWithin(timeOf(row.created), from, to)) &&
    (updated === null || isWithin(timeOf(row.updated), updated, null))
  );
}

function isWithin(time, from, to) {
  return time !== null && (from === null || time >= from) && (to === null || time <= to);
}

function contains(row, text) {
  return !text || [row.id, row.name, row.customStatus?.text ?? ""].some((each) => each.toLowerCase().includes(text));
}

/** The conditions that the requests contain, in words: `status Failed or Terminated`, `id begins with "order-"`. */
export function filterWords(filter, now) {
  const { from, to } = createdRange(filter, now);
  const words = [];
  if (filter.status.length) words.push(`status ${filter.status.join(" or ")}`);
  if (filter.name.trim()) words.push(`name "${filter.name.trim()}"`);
  if (filter.prefix.trim()) words.push(`id begins with "${filter.prefix.trim()}"`);
  if (filter.search.trim()) words.push(`contains "${filter.search.trim()}"`);
  if (filter.created !== "range" && from !== null) words.push(`created ${PERIODS[filter.created].text}`);
  if (filter.created === "range" && from !== null) words.push(`created from ${moment(from, now)}`);
  if (filter.created === "range" && to !== null) words.push(`created until ${moment(to, now)}`);
  if (beginOf(filter.updated, now) !== null) words.push(`updated ${PERIODS[filter.updated].text}`);
  return words;
}

/** Whether these are the instances that have failed in the last hour, whatever else the filter says. */
export function isOfRecentFailures(filter) {
  return filter.updated === "hour" && filter.status.length === 1 && filter.status[0] === "Failed";
}

/** The filter with that condition, or without it. An instance that has failed is not updated any more. */
export function withRecentFailures(filter, isWanted) {
  return { ...filter, status: isWanted ? ["Failed"] : [], updated: isWanted ? "hour" : "" };
}
