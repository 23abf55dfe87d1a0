// Words for times, amounts and states. Pure: values in, text out. Times are milliseconds, or ISO 8601 texts.

import { compacted, indented } from "./json.mjs";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

// Tables cannot store times before 1601; such a time stands for one that is missing.
const EARLIEST = Date.UTC(1970, 0, 1);

export const STATUSES = ["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated", "Canceled", "ContinuedAsNew"];
export const FINISHED = new Set(["Completed", "Failed", "Terminated", "Canceled"]);

/** The address of the view of an instance or an entity. */
export function link(id) {
  return `#/${isEntity(id) ? "entities" : "instances"}/${encodeURIComponent(id)}`;
}

/** Whether this is the id of an entity: no orchestration has such a one. */
export function isEntity(id) {
  return id.startsWith("@");
}

export function isFinished(status) {
  return FINISHED.has(status);
}

/** The milliseconds of an ISO 8601 text; null for a time that is missing. */
export function timeOf(text) {
  const time = text ? Date.parse(text) : NaN;
  return Number.isNaN(time) || time < EARLIEST ? null : time;
}

/** `340 ms`, `2.4 s`, `42 s`, `1 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(milliseconds) {
  const ms = Math.max(0, Math.round(milliseconds));
  if (ms < SECOND) return `${ms} ms`;
  if (ms < 9950) return `${(ms / SECOND).toFixed(1).replace(".0", "")} s`;
  const seconds = Math.round(ms / SECOND);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return both(Math.floor(seconds / 60), "min", seconds % 60, "s");
  const minutes = Math.round(ms / MINUTE);
  if (minutes < 24 * 60) return both(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(ms / HOUR);
  return both(Math.floor(hours / 24), "d", hours % 24, "h");
}

function both(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

/** The largest unit alone, for times that are only glanced at: `3 s ago`, `2 h ago`, `just now`. */
export function ago(time, now) {
  if (time === null) return "";
  const ms = now - time;
  if (ms < 2 * SECOND) return "just now";
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s ago`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min ago`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ago`;
  return `${Math.floor(ms / DAY)} d ago`;
}

/** The local time of day, with the date if it is not today's; `withMilliseconds` for histories. */
export function moment(time, now, withMilliseconds = false) {
  if (time === null) return "";
  const at = new Date(time);
  const today = new Date(now);
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  const shown = withMilliseconds ? `${clock}.${String(at.getMilliseconds()).padStart(3, "0")}` : clock;
  if (at.toDateString() === today.toDateString()) return shown;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${shown}`;
}

/** 7 as `07`, for dates and times. */
export function two(number) {
  return String(number).padStart(2, "0");
}

/** 1234567 as `1,234,567`. */
export function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** How long an instance has run, in milliseconds; null if its times are missing. */
export function runTime(row, now) {
  const created = timeOf(row.created);
  if (created === null) return null;
  const end = isFinished(row.status) ? timeOf(row.completed) ?? timeOf(row.updated) : now;
  return end === null ? null : Math.max(0, end - created);
}

const VERBS = {
  Pending: "Pending for",
  Running: "Running for",
  Suspended: "Suspended; created",
  Completed: "Completed after",
  Failed: "Failed after",
  Terminated: "Terminated after",
  Canceled: "Canceled after",
  ContinuedAsNew: "Continued as new after",
};

/** `Running for 2 min: 63 of 100 chunks, 2 failed, about 1 min left`. `tasks` are the counts of `countTasks`. */
export function headline(row, tasks, now) {
  const time = runTime(row, now);
  const verb = VERBS[row.status] ?? row.status;
  const shown = time === null ? "" : ` ${duration(time)}`;
  const beginning = row.status === "Suspended" && shown ? `${verb}${shown} ago` : `${verb}${shown}`;
  const progress = progressText(row.progress ?? tasks);
  const left = row.status === "Running" ? timeOf(row.progress?.end) - now : 0;
  const end = left >= SECOND ? `, about ${duration(left)} left` : "";
  return progress ? `${beginning}: ${progress}${end}` : beginning;
}

/** `63 of 100 chunks, 2 failed`; empty if there is nothing to count. */
export function progressText(progress) {
  if (!progress || !progress.total) return "";
  const unit = progress.unit ? ` ${progress.unit}` : "";
  const failed = progress.failed ? `, ${count(progress.failed)} failed` : "";
  return `${count(progress.done)} of ${count(progress.total)}${unit}${failed}`;
}

/** Counts the activities and sub-orchestrations of a history, in the form of a progress; null if it has none. */
export function countTasks(entries) {
  const tasks = entries.filter((entry) => entry.kind === "activity" || entry.kind === "sub-orchestration");
  if (!tasks.length) return null;
  const kinds = new Set(tasks.map((entry) => entry.kind));
  const one = kinds.has("activity") ? "activity" : "sub-orchestration";
  const many = kinds.has("activity") ? "activities" : "sub-orchestrations";
  return {
    done: tasks.filter((entry) => entry.ended).length,
    total: tasks.length,
    failed: tasks.filter((entry) => entry.failed).length,
    unit: kinds.size > 1 ? "tasks" : tasks.length > 1 ? many : one,
  };
}

/** JSON with indents if the text is whole and JSON, else the text itself. */
export function pretty(text) {
  if (!text) return "";
  if (text.text.length < text.length) return text.text;
  try {
    JSON.parse(text.text);
    return indented(text.text);
  } catch {
    return text.text;
  }
}

/**
 * `pretty` for reading: a text that contains JSON is shown as that JSON, because the durable SDK encodes inputs twice, and
 * a list of one argument as that argument. `isOnOneLine`: without indents, if it is JSON.
 */
export function readable(text, isOnOneLine = false) {
  if (!text) return "";
  if (text.text.length < text.length) return text.text;
  let shown = text.text;
  for (let level = 0; level < 3; level += 1) {
    try {
      const value = JSON.parse(shown);
      const inner = Array.isArray(value) && value.length === 1 && level === 0 ? value[0] : value;
      if (typeof inner !== "string") return isOnOneLine ? compacted(shown) : indented(shown);
      shown = inner;
    } catch {
      break;
    }
  }
  return pretty(text);
}

/** Says that a text was cut; empty if it was not. */
export function cutNote(text) {
  return text && text.text.length < text.length
    ? `The first ${count(text.text.length)} of ${count(text.length)} characters.`
    : "";
}

// A failure as the hosts store it: a message, and often the JSON of an exception after it.
const MESSAGE_AND_JSON = /^([\s\S]*?)\s*(\{"\$type":[\s\S]*\})\s*$/;

/** A text of a failure for people: its message, and the traceback inside its JSON. */
export function failureText(text) {
  if (!text) return "";
  const [, message, json] = MESSAGE_AND_JSON.exec(text.text) ?? [null, "", text.text];
  try {
    const value = JSON.parse(json);
    if (typeof value === "string") return value;
    const inner = value?.InnerException;
    const parts = [message || value?.Message, inner?.StackTraceString ?? inner?.Message];
    return parts.filter((part) => typeof part === "string" && part).join("\n") || indented(json);
  } catch {
    return text.text;
  }
}
