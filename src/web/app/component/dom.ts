// Elements without markup texts: nothing that comes from a server is ever parsed as HTML.

type Attributes = Record<string, string | boolean>;

/** Returns an element. `of` is its tag and its classes: `p.row.soft`; attributes that are false are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(of: K | `${K}.${string}`, attributes: Attributes = {}, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const [tag, ...classes] = of.split(".");
  const element = document.createElement(tag as K);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Changes a text only if it differs: a live region would tell it again. */
export function write(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Says that a button does nothing now. It keeps the focus, which the attribute `disabled` would take away. */
export function disable(button: HTMLElement, isDisabled: boolean): void {
  button.setAttribute("aria-disabled", String(isDisabled));
}

/** Shows as much of a bar as is left. By the object model: the page's policy may forbid inline styles. */
export function fill(bar: HTMLElement, share: number): void {
  (bar.firstElementChild as HTMLElement).style.setProperty("transform", `scaleX(${Math.max(0, Math.min(1, share))})`);
}

export function bar(part: string): HTMLElement {
  return h("div.bar", { part, "aria-hidden": "true" }, h("span", { part: `${part}-fill` }));
}
