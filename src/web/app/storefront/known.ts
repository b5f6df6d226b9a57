// The orders that a browser knows as its own.

import { browser, tab } from "../shared/storage";
import { needsToken } from "./session";

/** Returns the path of an order's page, in the language of this one. */
export function orderPath(id: string): string {
  const lang = new URLSearchParams(location.search).get("lang");
  return `/orders/${id}${lang ? `?lang=${encodeURIComponent(lang)}` : ""}`;
}

/** The buyer's order of a drop: for all tabs of a guest, whose name is that of the browser. */
export function knownOrder(dropId: string): string | null {
  return (needsToken ? tab : browser).get(nameOf(dropId));
}

export function noteOrder(dropId: string, id: string | null): void {
  (needsToken ? tab : browser).set(nameOf(dropId), id);
}

/** Calls back when another tab of the same guest notes an order of the drop, or its end. */
export function followOrder(dropId: string, noted: (id: string | null) => void): void {
  window.addEventListener("storage", (event) => {
    if (!needsToken && event.key === nameOf(dropId)) noted(event.newValue);
  });
}

function nameOf(dropId: string): string {
  return `firstcome.order.${dropId}`;
}
