// Reads again when something has changed, with a rest after each read: histories and counts are costly for the host.

const LEAST_PAUSE_MS = 1000;
const PAUSE_PER_READ = 5;

/**
 * Calls `read`, an async function of a signal, when it is asked to; never twice at the same time.
 *
 * After a read it rests for `leastPause` milliseconds, and `perRead` times as long as the read took. `onProblem` gets the
 * error of a read that has failed.
 */
export class Reader {
  control = new AbortController();
  isBusy = false;
  isDue = false;

  constructor(read, onProblem, { leastPause = LEAST_PAUSE_MS, perRead = PAUSE_PER_READ } = {}) {
    this.read = read;
    this.onProblem = onProblem;
    this.pause = (took) => Math.max(leastPause, perRead * took);
  }

  async ask() {
    this.isDue = true;
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.isDue && !this.control.signal.aborted) {
      this.isDue = false;
      const began = Date.now();
      try {
        await this.read(this.control.signal);
      } catch (error) {
        if (this.control.signal.aborted) return;
        this.onProblem(error);
      }
      await new Promise((next) => setTimeout(next, this.pause(Date.now() - began)));
    }
    this.isBusy = false;
  }

  /** Ends for good, and aborts a read. */
  end() {
    this.control.abort();
  }
}

/** Reads now, and again when the store has another row of `id`, until the returned function is called. */
export function readOnChange(id, store, read, onProblem) {
  const reader = new Reader(read, onProblem);
  void reader.ask();
  const ignore = store.listen((ids) => ids.has(id) && reader.ask());
  return () => {
    ignore();
    reader.end();
  };
}
