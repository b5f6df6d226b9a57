// <firstcome-drop drop-id="7" api="https://drops.shop.example">: a drop in a page of the shop's own. It shows price, stock and
// countdown as the storefront does, and leads to the storefront's page of the drop to buy, which needs no token of this page.
// The server's `public.cors_origins` must have the origin of the page.

import { serverNow } from "../shared/api";
import { duration, minorDigits, money } from "../shared/words";
import { follow } from "../storefront/live";
import english from "../texts/en.json";
import vietnamese from "../texts/vi.json";

interface Drop {
  name: string;
  currency: string;
  unit_price: number;
  state: "scheduled" | "live" | "paused" | "sold_out" | "ended";
  available: number;
  total: number;
  starts_at: string;
  ends_at?: string;
}

const STYLE = `
:host { display: grid; gap: 12px; font: inherit; color: inherit; max-width: 420px; }
.row { display: flex; justify-content: space-between; gap: 12px; flex-wrap: wrap; font-variant-numeric: tabular-nums; }
.bar { height: 8px; border-radius: 8px; background: color-mix(in srgb, currentColor 15%, transparent); overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--firstcome-accent, #1f5eff); transform-origin: 0 0; }
a { display: block; padding: 16px 24px; border-radius: 12px; background: var(--firstcome-accent, #1f5eff); color: var(--firstcome-accent-ink, #fff); font-weight: 600; text-align: center; text-decoration: none; }
a[aria-disabled] { background: color-mix(in srgb, currentColor 15%, transparent); color: inherit; }
`;

type Texts = Record<string, string>;
const TEXTS: Record<string, Texts> = { en: english, vi: vietnamese };

class FirstcomeDrop extends HTMLElement {
  connectedCallback(): void {
    const shadow = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    shadow.adoptedStyleSheets = [sheet];
    const id = this.getAttribute("drop-id") ?? "";
    const api = (this.getAttribute("api") ?? new URL(import.meta.url).origin).replace(/\/$/, "");
    const language = (this.closest("[lang]")?.getAttribute("lang") ?? "en").split("-")[0] ?? "en";
    const texts: Texts = TEXTS[language] ?? english;
    const part = <K extends keyof HTMLElementTagNameMap>(tag: K, ...children: (Node | string)[]) => {
      const element = document.createElement(tag);
      element.append(...children);
      return element;
    };
    const [price, stock, state, clock, fill] = [part("b"), part("span"), part("span"), part("span"), part("span")];
    const link = part("a", texts["drop.reserve"] ?? "");
    const [first, bar, second] = [part("div", price, state), part("div", fill), part("div", stock, clock)];
    [first.className, bar.className, second.className] = ["row", "bar", "row"];
    bar.setAttribute("aria-hidden", "true");
    second.setAttribute("aria-live", "off");
    shadow.replaceChildren(first, bar, second, link);
    let now: Drop | undefined;
    const draw = () => {
      if (!now) return;
      price.textContent = money(now.unit_price, now.currency, minorDigits(now.currency));
      state.textContent = texts[`state.${now.state}`] ?? now.state;
      stock.textContent = `${now.available} ${texts["drop.left"]}`;
      fill.style.transform = `scaleX(${now.total > 0 ? now.available / now.total : 0})`;
      const at = now.state === "scheduled" ? now.starts_at : now.state === "ended" ? undefined : now.ends_at;
      const label = texts[now.state === "scheduled" ? "clock.starts" : "clock.ends"];
      clock.textContent = at ? `${label} ${duration(Date.parse(at) - serverNow())}` : "";
      if (now.state === "live" || now.state === "sold_out") {
        link.href = `${api}/drops/${encodeURIComponent(id)}?lang=${language}`;
        link.removeAttribute("aria-disabled");
      } else {
        link.removeAttribute("href");
        link.setAttribute("aria-disabled", "true");
      }
    };
    follow<Drop>(`${api}/v1/drops/${encodeURIComponent(id)}`, (drop) => {
      now = drop;
      draw();
    }, () => undefined);
    setInterval(draw, 1_000);
  }
}

customElements.define("firstcome-drop", FirstcomeDrop);
