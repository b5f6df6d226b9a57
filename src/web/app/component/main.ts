// <firstcome-drop drop-id="7" api="https://drops.shop.example">: a drop on a page of the shop's own, where it is bought in place
// (src/web/README.md, On a shop's own page). The server's `public.cors_origins` must have the origin of the page.

import texts from "component-texts";
import { styleSheet } from "./style";
import { Sale } from "./sale";

const ATTRIBUTES = ["drop-id", "api", "lang", "token", "buyer"] as const;
const OWN_SERVER = new URL(import.meta.url).origin;

/** Returns the language of an element: its own, or that of what it stands in. */
function languageOf(element: Element): string {
  const told = element.closest("[lang]")?.getAttribute("lang") ?? "";
  const primary = told.split("-")[0]?.toLowerCase() ?? "";
  if (!(primary in texts)) return "en";
  return told;
}

class FirstcomeDrop extends HTMLElement {
  static readonly observedAttributes = ATTRIBUTES;
  // An open root: the shop's tests, tools for accessibility and password managers may look into it. A closed one would keep
  // nothing from the page, whose scripts hold the token anyway.
  readonly #shadow = this.attachShadow({ mode: "open" });
  #token: string | null = null;
  #sale: Sale | undefined;

  /** The buyer's token, where the server asks for one. It is not written into the document. */
  get token(): string | null {
    return this.#token;
  }
  set token(token: string | null) {
    this.#token = token || null;
    this.#sale?.signedIn();
  }

  connectedCallback(): void {
    this.#shadow.adoptedStyleSheets = [styleSheet()];
    // A property that was set before the element was defined hides the accessor.
    if (Object.hasOwn(this, "token")) {
      const early = this.token;
      delete (this as { token?: unknown }).token;
      this.token = early;
    }
    this.#begin();
  }

  disconnectedCallback(): void {
    this.#sale?.end();
    this.#sale = undefined;
  }

  attributeChangedCallback(name: (typeof ATTRIBUTES)[number], before: string | null, value: string | null): void {
    if (before === value) return;
    if (name === "token") this.token = value;
    else if (this.#sale) this.#begin();
  }

  #begin(): void {
    this.#sale?.end();
    const language = languageOf(this);
    this.#sale = new Sale(this, this.#shadow, {
      id: this.getAttribute("drop-id") ?? "",
      api: this.getAttribute("api") ?? OWN_SERVER,
      language,
      texts: texts[language.split("-")[0]?.toLowerCase() ?? ""] ?? texts["en"] ?? {},
      buyer: this.getAttribute("buyer"),
    });
  }
}

if (!customElements.get("firstcome-drop")) customElements.define("firstcome-drop", FirstcomeDrop);
