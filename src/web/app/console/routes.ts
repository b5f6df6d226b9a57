// The page that the address names, behind its `#`.
import { reactive } from "./reactive";

export const place = reactive({ page: "live", id: "", more: "" });

function read(): void {
  const [page = "live", id = "", more = ""] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  Object.assign(place, { page: page || "live", id, more });
}

export function go(path: string): void {
  location.hash = `#/${path}`;
}

/** Shows the page of the address, now and whenever it changes. */
export function watchAddress(moved: () => void): void {
  read();
  addEventListener("hashchange", () => {
    read();
    moved();
  });
}
