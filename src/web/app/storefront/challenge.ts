// The proof of work that a server may ask of a buyer (428): solved by a worker, sent with the same key.

import { type Answer, send } from "../shared/api";
import { MAXNUMBER, type WorkToDo, search } from "../shared/proof";

interface Challenge extends WorkToDo {
  algorithm: string;
  signature: string;
}

const SOLVED_WITHIN_MS = 60_000;
/** The main thread's share at a time, so that the page answers its reader meanwhile. */
const SLICE_MS = 8;

/** Returns the value of `Firstcome-Challenge`, or nothing if there is no solution. `api` is the server's address, or empty for
 *  that of this page. */
export async function solveChallenge(api: string, dropId: string, token: string | null): Promise<string | undefined> {
  const answer: Answer<Challenge> = await send<Challenge>(`${api}/v1/drops/${dropId}/challenge`, { token });
  if (answer.kind !== "ok" || answer.body.algorithm !== "SHA-256") return undefined;
  const { algorithm, challenge, salt, signature } = answer.body;
  const until = performance.now() + SOLVED_WITHIN_MS;
  const number = await byWorker(api, answer.body).catch(() => inSlices(answer.body, until));
  return number === null ? undefined : btoa(JSON.stringify({ algorithm, challenge, number, salt, signature }));
}

/** Starts the worker. One of another origin must be begun by this page, which its content security policy may forbid. */
function startWorker(api: string): Worker {
  if (api === "" || new URL(api).origin === location.origin) return new Worker(api + ASSET_SOLVER_JS);
  const source = new Blob([`import ${JSON.stringify(api + ASSET_SOLVER_JS)};`], { type: "text/javascript" });
  const url = URL.createObjectURL(source);
  try {
    return new Worker(url, { type: "module" });
  } finally {
    setTimeout(() => URL.revokeObjectURL(url), SOLVED_WITHIN_MS);
  }
}

async function byWorker(api: string, work: WorkToDo): Promise<number | null> {
  const worker = startWorker(api);
  try {
    return await new Promise<number | null>((resolve, reject) => {
      setTimeout(() => resolve(null), SOLVED_WITHIN_MS);
      worker.addEventListener("message", (event: MessageEvent<number | null>) => resolve(event.data));
      worker.addEventListener("error", reject);
      worker.postMessage(work);
    });
  } finally {
    worker.terminate();
  }
}

async function inSlices(work: WorkToDo, until: number): Promise<number | null> {
  const end = (work.maxnumber ?? MAXNUMBER) + 1;
  for (let from = 0; from < end && performance.now() < until; ) {
    const pause = performance.now() + SLICE_MS;
    while (from < end && performance.now() < pause) {
      const to = Math.min(from + 64, end);
      const found = search(work, from, to);
      if (found !== undefined) return found;
      from = to;
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return null;
}
