// A worker that solves a proof of work.

import { MAXNUMBER, type WorkToDo, search } from "../shared/proof";

self.addEventListener("message", ({ data }: MessageEvent<WorkToDo>) => {
  self.postMessage(search(data, 0, (data.maxnumber ?? MAXNUMBER) + 1) ?? null);
});
