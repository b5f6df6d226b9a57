// The proof of work that a server may ask of a buyer (428): solved by a worker, sent with the same key.

import { type Answer, send } from "../shared/api";
import type { WorkToDo } from "./solver";

interface Challenge extends WorkToDo {
  algorithm: string;
  signature: string;
}

const SOLVED_WITHIN_MS = 60_000;

/** Returns the value of `Firstcome-Challenge`, or nothing if there is no solution. */
export async function solveChallenge(dropId: string, token: string | null): Promise<string | undefined> {
  const answer: Answer<Challenge> = await send<Challenge>(`/v1/drops/${dropId}/challenge`, { token });
  if (answer.kind !== "ok" || answer.body.algorithm !== "SHA-256") return undefined;
  const { algorithm, challenge, salt, signature } = answer.body;
  const worker = new Worker(ASSET_SOLVER_JS);
  try {
    const number = await new Promise<number | null>((resolve, reject) => {
      setTimeout(() => resolve(null), SOLVED_WITHIN_MS);
      worker.addEventListener("message", (event: MessageEvent<number | null>) => resolve(event.data));
      worker.addEventListener("error", reject);
      worker.postMessage(answer.body);
    });
    return number === null ? undefined : btoa(JSON.stringify({ algorithm, challenge, number, salt, signature }));
  } catch {
    return undefined;
  } finally {
    worker.terminate();
  }
}
